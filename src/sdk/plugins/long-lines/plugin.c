/* Says which lines of a file are longer than a hundred bytes: an example of a plugin in C, as a component. */
#include <stdio.h>
#include <string.h>

#include "../../wit/plugin.h"

enum { LONG = 100 };

/* The answer with these words, which are copied. */
static meliora_answer answer(unsigned failed, const char *words) {
    size_t length = strlen(words);
    char *copy = malloc(length + 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, words, length + 1);
    return (meliora_answer){failed, {copy, length}};
}

/* Finds the text of the one argument, which has to be without escapes. */
static int find_path(meliora_text arguments, char *path, size_t room) {
    static const char before[] = "\"path\":\"";
    for (size_t at = 0; at + sizeof before - 1 < arguments.length; at++) {
        if (memcmp(arguments.pointer + at, before, sizeof before - 1) != 0) {
            continue;
        }
        size_t written = 0;
        for (at += sizeof before - 1; at < arguments.length && written + 1 < room; at++) {
            char letter = arguments.pointer[at];
            if (letter == '\\') {
                return 0;
            }
            if (letter == '"') {
                path[written] = '\0';
                return 1;
            }
            path[written++] = letter;
        }
    }
    return 0;
}

meliora_answer meliora_call(meliora_text tool, meliora_text arguments) {
    char path[1024], said[1024];
    (void)tool; /* there is one */
    if (!find_path(arguments, path, sizeof path)) {
        return answer(1, "give a path without quotes and backslashes");
    }
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return answer(1, "the file cannot be read; name another");
    }
    size_t lines = 0, longer = 0, length = 0;
    for (int letter; (letter = getc(file)) != EOF;) {
        if (letter != '\n') {
            length++;
            continue;
        }
        lines++;
        longer += length > LONG;
        length = 0;
    }
    fclose(file);
    lines += length > 0;
    longer += length > LONG;
    snprintf(said, sizeof said, "{\"data\":{\"lines\":%zu,\"longer\":%zu}}", lines, longer);
    return answer(0, said);
}
