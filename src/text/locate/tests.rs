//! Quotes of every kind, on small texts.

use super::*;

const CODE: &str = "fn a() {\n    let x = 1;\n    if x > 0 {\n        go(x);\n    }\n}\n\nfn b() {\n    let y = 1;\n}\n";

fn apply(text: &str, search: &str, replacement: &str) -> Result<String, NoPlace> {
    let located = locate(text, search, replacement)?;
    let mut result = text.to_owned();
    result.replace_range(located.range, &located.replacement);
    Ok(result)
}

#[test]
fn text_that_stands_once_is_replaced() {
    for (search, replacement, expected) in [
        ("let y = 1;", "let y = 2;", CODE.replace("y = 1", "y = 2")),
        // Shifted by one level.
        (
            "if x > 0 {\n    go(x);\n}\n",
            "if x > 1 {\n    go(x);\n    stop();\n}\n",
            CODE.replace("x > 0", "x > 1")
                .replace("go(x);\n", "go(x);\n        stop();\n"),
        ),
        // Deeper than the text.
        (
            "            let y = 1;\n        }",
            "            let z = 1;\n        }",
            CODE.replace("let y", "let z"),
        ),
        // A lost blank line, trailing spaces and typographic signs.
        (
            "}\nfn b() {  ",
            "}\n\nfn c() {",
            CODE.replace("fn b", "fn c"),
        ),
        (
            "let\u{a0}y = 1;",
            "let y = 3;",
            CODE.replace("y = 1", "y = 3"),
        ),
    ] {
        assert_eq!(
            apply(CODE, search, replacement).as_deref(),
            Ok(expected.as_str()),
            "{search}"
        );
    }
}

#[test]
fn tabs_and_spaces_are_told_apart_and_kept() {
    let tabs = CODE.replace("    ", "\t");
    assert_eq!(
        apply(
            &tabs,
            "    if x > 0 {\n        go(x);\n    }",
            "    if x > 9 {\n        go(x);\n        go(y);\n    }"
        ),
        Ok(tabs
            .replace("x > 0", "x > 9")
            .replace("go(x);\n", "go(x);\n\t\tgo(y);\n"))
    );
    assert_eq!(
        apply(CODE, "\tif x > 0 {\n\t\tgo(x);", "\tif x > 9 {\n\t\tgo(x);"),
        Ok(CODE.replace("x > 0", "x > 9"))
    );
}

#[test]
fn line_ends_of_the_text_are_kept() {
    let text = CODE.replace('\n', "\r\n");
    assert_eq!(
        apply(
            &text,
            "fn b() {\n    let y = 1;\n}",
            "fn b() {\n    let y = 1;\n    more();\n}"
        ),
        Ok(text.replace("y = 1;\r\n", "y = 1;\r\n    more();\r\n"))
    );
    assert_eq!(
        apply(
            &text,
            "if x > 0 {\n    go(x);\n}",
            "if x > 1 {\n    go(x);\n}"
        ),
        Ok(text.replace("x > 0", "x > 1"))
    );
    assert_eq!(apply("a\r\nb\n", "b", "c"), Ok("a\r\nc\n".to_owned()));
}

#[test]
fn what_is_not_certain_is_refused_with_the_real_lines() {
    let missing = |search: &str| match locate(CODE, search, "x") {
        Err(NoPlace::Missing { nearest }) => nearest,
        other => panic!("{search}: {other:?}"),
    };
    assert!(missing("    if x >= 0 {\n        go(x)").contains("3:     if x > 0 {"));
    assert!(missing("completely different").starts_with("1: fn a() {"));
    assert!(matches!(
        locate(CODE, "= 1;", "= 2;"),
        Err(NoPlace::Ambiguous { lines }) if lines == [2, 9]
    ));
    assert!(matches!(
        locate(CODE, "et y", "et z"),
        Err(NoPlace::CutsName { line: 9, .. })
    ));
    assert!(matches!(
        locate("if a:\n    b()\nc()\n", "if  a:\n    b()\n    c()\n", "x"),
        Err(NoPlace::Nesting { line: 1, .. })
    ));
    assert_eq!(locate(CODE, "    }\n}", "x"), Err(NoPlace::OnlySigns));
    assert!(matches!(
        locate(CODE, "  \n", "x"),
        Err(NoPlace::EmptySearch)
    ));
    assert!(matches!(
        locate(CODE, "fn a", "fn a"),
        Err(NoPlace::NoChange)
    ));
    assert!(matches!(locate("", "a", "b"), Err(NoPlace::Missing { .. })));
}

#[test]
fn an_edit_that_was_applied_before_says_so() {
    let search = "    let y = 1;\n";
    let replacement = "    let y = 1;\n    let z = 2;\n";
    let once = apply(CODE, search, replacement).expect("applied");
    assert_eq!(
        locate(&once, search, replacement),
        Err(NoPlace::AlreadyApplied { line: 9 })
    );
    let (search, replacement) = ("    let y = 1;\n}\n", "    let y = 2;\n    more(y);\n}\n");
    let once = apply(CODE, search, replacement).expect("applied");
    assert!(matches!(
        locate(&once, search, replacement),
        Err(NoPlace::Missing { .. })
    ));
    let (search, replacement) = ("fn b() {\n    let y = 1;\n", "fn b() {\n    let y = 2;\n");
    let once = apply(CODE, search, replacement).expect("applied");
    assert_eq!(
        locate(&once, search, replacement),
        Err(NoPlace::AlreadyApplied { line: 8 })
    );
}

#[test]
fn what_stands_elsewhere_for_another_reason_was_not_applied() {
    for (text, search, replacement) in [
        (
            "[prod]\ntimeout_seconds = 3\n\n[staging]\ntimeout_seconds = 5\n",
            "timeout_seconds = 4",
            "timeout_seconds = 5",
        ),
        (
            "[prod]\ntimeout = 5\n\n[staging]\ntimeout = 40\n",
            "timeout = 4",
            "timeout = 40",
        ),
    ] {
        assert!(
            matches!(
                locate(text, search, replacement),
                Err(NoPlace::Missing { .. } | NoPlace::CutsName { .. })
            ),
            "{search}"
        );
    }
}

#[test]
fn new_lines_stay_in_the_block_of_the_line_that_is_quoted() {
    let python = "while i < n:\n        go(i)\n        i += 1\n        k = j\nend()\n";
    let yaml = "top:\n  a: 1\n  b: 2\nother: 3\n";
    for (text, search, replacement, expected) in [
        (
            python,
            "i += 1\n",
            "i += 1\nlog(i)\n",
            "i += 1\n        log(i)\n",
        ),
        (
            python,
            "k = j",
            "k = j\nif k:\n    stop()",
            "k = j\n        if k:\n            stop()",
        ),
        (
            "while i < n:\n    i += 1\n",
            "i += 1\n",
            "i += 1\nlog(i)\n",
            "i += 1\n    log(i)\n",
        ),
        (
            "while i < n:\n    i += 1",
            "i += 1\n",
            "i += 1\nlog(i)\n",
            "i += 1\n    log(i)",
        ),
        (yaml, "b: 2\n", "b: 2\nc: 3\n", "b: 2\n  c: 3\n"),
        // As the lines are to stand.
        (
            python,
            "i += 1\n",
            "i += 1\n        log(i)\n",
            "i += 1\n        log(i)\n",
        ),
        ("f(\n    a,\n    c,\n)\n", "a,", "a,\n    b,", "a,\n    b,"),
        ("x = 1\n", "x = 1", "x = 1\ny = 2", "x = 1\ny = 2"),
        (
            "    yes = all\n",
            "yes  = all",
            "yes  = all\n    no = some",
            "yes = all\n    no = some",
        ),
    ] {
        let open = search.trim_end();
        assert_eq!(
            apply(text, search, replacement),
            Ok(text.replace(&open.replace("  ", " "), expected.trim_end())),
            "{search}"
        );
    }
    for (text, search, replacement) in [
        // A part of a line.
        (
            "def f():\n    total += 1  # add\n",
            "total += 1",
            "total += 1\nlog(total)",
        ),
        (
            "def f():\n    total += 1  # add\n",
            "total += 1",
            "total += 1\n    log(total)",
        ),
        ("def f():\n    self.x = 1\n", "x = 1", "x = 1\nlog()"),
        // Below the line, or below all that the line is in.
        (
            "class A:\n    def f(self):\n        return x\n",
            "return x\n",
            "return x\n\n\ndef g():\n    pass\n",
        ),
        (
            "class A:\n    def f(self):\n        return x\n",
            "return x\n",
            "return x\n\n    def g(self):\n        pass\n",
        ),
        (
            "fn f() {\n    go();\n}\n",
            "go();\n",
            "go();\n}\n\nfn g() {\n",
        ),
        (
            "def f():\n    if x:\n        go()\n",
            "if x:\n        go()\n",
            "if x:\n        go()\nlog()\n",
        ),
        ("def f():\n\tgo()\n", "go()", "go()\n        stop()"),
    ] {
        assert!(
            matches!(
                locate(text, search, replacement),
                Err(NoPlace::Nesting { .. })
            ),
            "{search}: {replacement}: {:?}",
            apply(text, search, replacement)
        );
    }
}

#[test]
fn lines_are_neither_left_half_nor_joined() {
    let text = "fn f() {\n    a();\n    b();\n    c();\n}\n";
    for (search, replacement, expected) in [
        ("b();\n", "", text.replace("    b();\n", "")),
        (
            "a();\n    b();\n",
            "",
            text.replace("    a();\n    b();\n", ""),
        ),
        ("    b();\n", "    d();", text.replace("b();", "d();")),
        ("b();\n", "d();", text.replace("b();", "d();")),
    ] {
        assert_eq!(apply(text, search, replacement), Ok(expected), "{search}");
    }
}

#[test]
fn a_line_that_is_very_long_costs_little_time() {
    let words: Vec<String> = (0..20_000).map(|number| format!("word{number}")).collect();
    let text = format!("first line of it\n{}\nlast line of it\n", words.join(" "));
    let search = text
        .replace("word77 ", "wrod77 ")
        .replace("word9000 ", "other ")
        .replace("word19000 ", "wodr19000 ");
    let started = std::time::Instant::now();
    let refused = locate(&text, &search, "x\n").expect_err("it is too far off");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert!(refused.to_string().len() < 2_000);
}

#[test]
fn lone_carriage_returns_are_kept() {
    let text = CODE.replace('\n', "\r");
    for (search, replacement) in [
        ("    let y = 1;\n", "    let y = 2;\n    let z = 3;\n"),
        ("let y = 1;\n", "let y = 2;\nlet z = 3;\n"),
        ("let y = 1;", "let y = 2;"),
        ("if x > 0 {\n    go(x);\n}\n", "if x > 1 {\n    go(x);\n}\n"),
    ] {
        let expected = apply(CODE, search, replacement).expect("it stands once");
        assert_eq!(
            apply(&text, search, replacement),
            Ok(expected.replace('\n', "\r")),
            "{search}"
        );
    }
    // In the middle of lines that end otherwise.
    let text = "one\rtwo\nthree  three\nfour\r\r\nfive\n";
    for (search, replacement, expected) in [
        ("five", "5", text.replace("five", "5")),
        (
            "three three\n",
            "3\nthree three\n",
            text.replace("three  three", "3\nthree  three"),
        ),
        ("two", "2", text.replace("two", "2")),
    ] {
        assert_eq!(apply(text, search, replacement), Ok(expected), "{search}");
    }
}
