;; A plugin whose `call` does what is put in the place of CODE. It has the four numbers of two texts ($tool, $tool_length,
;; $arguments, $arguments_length), and leaves the place of the answer: 0 or 1, where its text is, how long it is.
(component
  (import "meliora:plugin/host@1.0.0" (instance $host
    (export "ask" (func (param "question" string) (result string)))))
  (core module $base
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "allocate") (param i32 i32 i32) (param $size i32) (result i32)
      (local $place i32)
      (local.set $place (global.get $next))
      (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $fits (i32.ge_s
          (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))
          (i32.const 0)))
        unreachable)
      (local.get $place)))
  (core instance $base (instantiate $base))
  (core func $ask (canon lower (func $host "ask")
    (memory $base "memory") (realloc (func $base "allocate"))))
  (core module $code
    (import "base" "memory" (memory 1))
    (import "host" "ask" (func $ask (param i32 i32 i32)))
    (func $answer (param $kind i32) (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 1024) (local.get $kind))
      (i32.store (i32.const 1028) (local.get $text))
      (i32.store (i32.const 1032) (local.get $length))
      (i32.const 1024))
    (func $call (export "call")
      (param $tool i32) (param $tool_length i32) (param $arguments i32) (param $arguments_length i32) (result i32)
      CODE)
    BESIDE)
  (core instance $code (instantiate $code
    (with "base" (instance $base))
    (with "host" (instance (export "ask" (func $ask))))))
  (func (export "call") (param "tool" string) (param "arguments" string) (result (result string (error string)))
    (canon lift (core func $code "call") (memory $base "memory") (realloc (func $base "allocate")))))
