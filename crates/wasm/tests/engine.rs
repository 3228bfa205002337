//! Components that answer, ask, take too much, lie and fail, run in the process of the test.

use meliora_wasm::Plugin;

const MEMORY_BYTES: usize = 8 << 20;

/// Gives what it was given.
const ECHO: &str =
    "(call $answer (i32.const 0) (local.get $arguments) (local.get $arguments_length))";

fn component(code: &str, beside: &str) -> Vec<u8> {
    let text = include_str!("plugin.wat");
    let text = text.replace("BESIDE", beside);
    let (before, after) = text.rsplit_once("CODE").expect("a place for it");
    wat::parse_str(format!("{before}{code}{after}")).expect("a component")
}

fn load(bytes: &[u8]) -> Result<Plugin, String> {
    Plugin::load(bytes, &[], MEMORY_BYTES)
}

fn call(code: &str) -> Result<Result<String, String>, String> {
    let ask = Box::new(|question| format!("heard {question}"));
    load(&component(code, ""))?.call("tool", "{\"a\": 1}", ask)
}

#[test]
fn a_component_is_called_and_asks() {
    assert_eq!(call(ECHO), Ok(Ok("{\"a\": 1}".to_owned())));
    let error = "(call $answer (i32.const 1) (local.get $tool) (local.get $tool_length))";
    assert_eq!(call(error), Ok(Err("tool".to_owned())));
    let asks = "(call $ask (local.get $tool) (local.get $tool_length) (i32.const 512))
        (call $answer (i32.const 0) (i32.load (i32.const 512)) (i32.load (i32.const 516)))";
    assert_eq!(call(asks), Ok(Ok("heard tool".to_owned())));
}

#[test]
fn memory_ends_where_the_limit_says() {
    // Takes page after page, and gives the letter a and as many letters on as it got times eight.
    let takes = "(local $pages i32)
        (block $full (loop $more
            (br_if $full (i32.lt_s (memory.grow (i32.const 8)) (i32.const 0)))
            (local.set $pages (i32.add (local.get $pages) (i32.const 1)))
            (br $more)))
        (i32.store8 (i32.const 600) (i32.add (i32.const 97) (local.get $pages)))
        (call $answer (i32.const 0) (i32.const 600) (i32.const 1))";
    let pages = (MEMORY_BYTES / 65536 - 1) / 8;
    let expected = char::from(b'a' + u8::try_from(pages).expect("few")).to_string();
    assert_eq!(call(takes), Ok(Ok(expected)));
    let large = component(ECHO, "(memory $large 200)");
    assert!(load(&large).is_err(), "two hundred pages");
    let table = component(ECHO, "(table 2000000 funcref)");
    assert!(load(&table).is_err(), "sixteen megabytes of a table");
}

#[test]
fn whatever_a_component_does_wrong_is_an_error_that_says_so() {
    for (code, expected) in [
        ("unreachable", "`unreachable` instruction executed"),
        (
            "(call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
            "call stack exhausted",
        ),
        ("(i32.load (i32.const -8))", "out of bounds memory access"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "divide by zero"),
        (
            "(call $answer (i32.const 0) (i32.const 0) (i32.const -1))",
            "out of bounds",
        ),
        (
            "(call $answer (i32.const 7) (i32.const 0) (i32.const 0))",
            "discriminant",
        ),
        ("(i32.const -4)", "out of bounds"),
        (
            "(i32.store8 (i32.const 600) (i32.const 255))
          (call $answer (i32.const 0) (i32.const 600) (i32.const 1))",
            "utf-8",
        ),
        (
            "(call $ask (i32.const 0) (i32.const -1) (i32.const 512)) (i32.const 1024)",
            "out of bounds",
        ),
    ] {
        let error = call(code).expect_err(code);
        assert!(error.contains(expected), "{code}: {error}");
    }
}

#[test]
fn what_is_no_plugin_is_refused_before_it_is_called() {
    let unknown = "(component (import \"wasi:http/types@0.2.0\" (instance (export \"f\" (func)))))";
    let other =
        "(component (core module $m (func (export \"call\"))) (core instance $i (instantiate $m))
        (func (export \"call\") (canon lift (core func $i \"call\"))))";
    for (bytes, expected) in [
        (b"\x7fELF".to_vec(), "no component of WebAssembly"),
        (Vec::new(), "no component of WebAssembly"),
        (
            wat::parse_str("(module)").expect("a module"),
            "no component of WebAssembly",
        ),
        (b"\0asm\x0d\0\x01\0\xff\xff\xff\xff".to_vec(), ""),
        (
            wat::parse_str(unknown).expect("a component"),
            "wasi:http/types@0.2.0",
        ),
        (
            wat::parse_str(other).expect("a component"),
            "does not export `call` as the interface says",
        ),
        (
            wat::parse_str("(component)").expect("a component"),
            "does not export `call` as the interface says",
        ),
        (
            component(ECHO, "(func $first unreachable) (start $first)"),
            "`unreachable` instruction",
        ),
        (
            component(
                ECHO,
                "(func $first (call $ask (i32.const 0) (i32.const 0) (i32.const 512))) (start $first)",
            ),
            "asked before it was called",
        ),
    ] {
        let error = load(&bytes).expect_err(expected);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
