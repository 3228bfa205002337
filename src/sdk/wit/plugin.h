/* The interface of wit/plugin.wit for plugins in C: include it in one file and define `meliora_call`.

   A component is made of the module that a compiler for WASI gives, with `wasm-tools component embed` and
   `wasm-tools component new`; docs/PLUGINS.md has the lines. */
#ifndef MELIORA_PLUGIN_H
#define MELIORA_PLUGIN_H

#include <stddef.h>
#include <stdlib.h>

/* A text in UTF-8, without a zero at its end. */
typedef struct {
    char *pointer;
    size_t length;
} meliora_text;

/* The answer of a tool: JSON, or with `failed` the words why there is none. The text is of `malloc`, and taken. */
typedef struct {
    unsigned failed;
    meliora_text text;
} meliora_answer;

/* Calls a tool with its arguments, a JSON object. */
meliora_answer meliora_call(meliora_text tool, meliora_text arguments);

/* Asks a question, JSON. What is told is of `malloc`: free it. */
__attribute__((import_module("meliora:plugin/host@1.0.0"), import_name("ask"))) void
meliora_ask(const char *question, size_t length, meliora_text *told);

__attribute__((export_name("cabi_realloc"))) void *
meliora_allocate(void *old, size_t old_bytes, size_t align, size_t bytes) {
    (void)old_bytes;
    if (bytes == 0) {
        return (void *)align;
    }
    void *made = realloc(old, bytes);
    if (made == NULL) {
        abort();
    }
    return made;
}

__attribute__((export_name("call"))) meliora_answer *
meliora_called(char *tool, size_t tool_length, char *arguments, size_t arguments_length) {
    static meliora_answer answer;
    answer = meliora_call((meliora_text){tool, tool_length}, (meliora_text){arguments, arguments_length});
    return &answer;
}

#endif
