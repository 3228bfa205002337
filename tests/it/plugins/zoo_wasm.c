/* A plugin that does whatever a plugin must not, as a component. Each tool is one way. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin.h"

extern char **environ;

static char said[8192];

static meliora_answer answer(unsigned failed, const char *words, size_t length) {
    char *copy = malloc(length + 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, words, length);
    return (meliora_answer){failed, {copy, length}};
}

static meliora_answer text(const char *words) {
    char json[9000];
    int length = snprintf(json, sizeof json, "{\"text\":\"%s\"}", words);
    return answer(0, json, (size_t)length);
}

static void note(const char *what) {
    strncat(said, what, sizeof said - strlen(said) - 1);
    strncat(said, "; ", sizeof said - strlen(said) - 1);
}

static void reads(const char *path) {
    FILE *file = fopen(path, "r");
    char byte;
    if (file != NULL && fread(&byte, 1, 1, file) == 1) {
        note(path);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void writes(const char *path) {
    FILE *file = fopen(path, "a");
    if (file != NULL) {
        note(path);
        fclose(file);
    }
}

static void attempts(void) {
    static const char *const secrets[] = {
        KEPT, "../kept.txt", "../../kept.txt", "kept/../../kept.txt", "./..//../kept.txt", SECRET, STATE,
        "/etc/passwd", "/proc/self/environ", "/proc/self/mem", "/dev/mem", "/tmp/../etc/passwd", "//etc/passwd",
        "/tmp/../../../../etc/passwd",
    };
    for (size_t at = 0; at < sizeof secrets / sizeof *secrets; at++) {
        reads(secrets[at]);
    }
    static const char *const links[] = {KEPT, "/etc/passwd", "../../../../../../../../../etc/passwd", "/proc/self/root"};
    for (size_t at = 0; at < sizeof links / sizeof *links; at++) {
        unlink("/tmp/link");
        if (symlink(links[at], "/tmp/link") == 0) {
            reads("/tmp/link");
            reads("/tmp/link/etc/passwd");
            writes("/tmp/link");
        }
    }
    unlink("/tmp/link");
    if (link(KEPT, "/tmp/hard") == 0 || link("../kept.txt", "/tmp/hard") == 0) {
        note("a hard link");
    }
    if (rename(KEPT, "/tmp/moved") == 0 || rename("../kept.txt", "/tmp/moved") == 0) {
        note("moved");
    }
    writes(OUTSIDE);
    writes("../outside.txt");
    writes("/dev/shm/zoo");
    if (mkdir("../made", 0700) == 0) {
        note("made a folder");
    }
    DIR *folder = opendir("/");
    if (folder != NULL) {
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            /* What it calls so is the workspace, where it has that. */
            if (strcmp(entry->d_name, "a.txt") != 0 && strcmp(entry->d_name, "kept") != 0 && entry->d_name[0] != '.') {
                note(entry->d_name);
            }
        }
        closedir(folder);
    }
    if (environ != NULL && environ[0] != NULL) {
        note(environ[0]);
    }
    char byte;
    if (read(0, &byte, 1) > 0) {
        note("its input");
    }
    for (int number = 0; number < 64; number++) {
        struct stat status;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", number);
        if (stat(path, &status) == 0) {
            note(path);
        }
    }
}

static meliora_answer asks(const char *question) {
    meliora_text told;
    meliora_ask(question, strlen(question), &told);
    for (size_t at = 0; at < told.length; at++) {
        char letter = told.pointer[at];
        told.pointer[at] = letter == '"' ? '\'' : letter == '\\' ? '/' : letter;
    }
    snprintf(said, sizeof said, "%.*s", (int)told.length, told.pointer);
    return text(said);
}

meliora_answer meliora_call(meliora_text tool, meliora_text arguments) {
    char name[64];
    (void)arguments;
    snprintf(name, sizeof name, "%.*s", (int)tool.length, tool.pointer);
    if (strcmp(name, "attempts") == 0) {
        attempts();
        char line[8300];
        snprintf(line, sizeof line, "reached: %s|", said);
        return text(line);
    }
    if (strcmp(name, "writes") == 0) {
        writes("a.txt");
        FILE *file = fopen("a.txt", "w");
        if (file != NULL) {
            fputs("changed\n", file);
            fclose(file);
        }
        FILE *own = fopen("/tmp/own.txt", "w");
        if (own != NULL) {
            note("its own folder");
            fclose(own);
        }
        return text(said);
    }
    if (strcmp(name, "hang") == 0) {
        for (volatile unsigned turn = 0;; turn++) {
        }
    }
    if (strcmp(name, "sleep") == 0) {
        sleep(1000);
    }
    if (strcmp(name, "trap") == 0) {
        fputs("last words", stdout);
        fflush(stdout);
        __builtin_trap();
    }
    if (strcmp(name, "leave") == 0) {
        exit(3);
    }
    if (strcmp(name, "leak") == 0) {
        size_t taken = 0;
        for (char *piece; (piece = malloc(1 << 20)) != NULL; taken++) {
            *(volatile char *)piece = 1;
        }
        snprintf(said, sizeof said, "taken %zu MiB", taken);
        return text(said);
    }
    if (strcmp(name, "huge") == 0) {
        size_t length = 5 << 20;
        char *words = malloc(length);
        memset(words, '1', length);
        return answer(0, words, length);
    }
    if (strcmp(name, "lie_long") == 0) {
        return (meliora_answer){0, {said, 0xfffffff0}};
    }
    if (strcmp(name, "lie_kind") == 0) {
        return (meliora_answer){9, {said, 1}};
    }
    if (strcmp(name, "not_utf8") == 0) {
        return answer(0, "\xff\xfe", 2);
    }
    if (strcmp(name, "not_json") == 0) {
        return answer(0, "1},\"x\":{", 8);
    }
    if (strcmp(name, "asks_request") == 0) {
        return asks("{\"request\":{\"method\":\"GET\",\"url\":\"https://example.com/\"}}");
    }
    if (strcmp(name, "asks_shell") == 0) {
        return asks("{\"shell\":{\"command\":\"echo said; echo made > made.txt\"}}");
    }
    if (strcmp(name, "asks_ever") == 0) {
        for (;;) {
            asks("{\"shell\":{\"command\":\"true\"}}");
        }
    }
    return answer(1, "what?", 5);
}
