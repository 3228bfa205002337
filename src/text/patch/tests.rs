//! Patches in every form, on small texts.

use super::*;
use crate::text::locate::locate;

const CODE: &str = "class A:\n    def run(self):\n        x = 1\n        return x\n\nclass B:\n    def run(self):\n        x = 1\n        return x\n";

/// The text after a patch of one file, or why there is none.
fn patched(text: &str, patch: &str) -> Result<String, String> {
    let files = parse(patch).map_err(|error| error.to_string())?;
    let [file] = files.as_slice() else {
        return Err(format!("{} files", files.len()));
    };
    let FileChange::Update { hunks, .. } = &file.change else {
        return Err(format!("{:?}", file.change));
    };
    let applied = apply(text, hunks, locate).map_err(|error| error.to_string())?;
    Ok(applied.text)
}

fn envelope(body: &str) -> String {
    format!("*** Begin Patch\n*** Update File: a.py\n{body}*** End Patch\n")
}

#[test]
fn a_hunk_goes_to_its_anchor_or_nowhere() {
    let in_b = CODE
        .replacen("x = 1", "x = 2", 2)
        .replacen("x = 2", "x = 1", 1);
    let change = "         x = 1\n-        return x\n+        return x + 1\n";
    for (body, expected) in [
        (
            format!("@@ class B:\n{change}"),
            Ok(CODE.replace("return x\n", "return x + 1\n").replacen(
                "return x + 1\n",
                "return x\n",
                1,
            )),
        ),
        (
            "@@ class B:\n@@ def run(self):\n-        x = 1\n+        x = 2\n".to_owned(),
            Ok(in_b),
        ),
        (format!("@@\n{change}"), Err("stands in 2 places")),
        (
            format!("@@ def run(self):\n{change}"),
            Err("anchor `def run(self):` stands in 2 places"),
        ),
        (
            format!("@@ class C:\n{change}"),
            Err("anchor `class C:` is not in the file"),
        ),
        (
            "@@ class B:\n-class A:\n+class C:\n".to_owned(),
            Err("stand before its anchor"),
        ),
        // Lines that are only added.
        (
            "@@ class B:\n+    y = 1\n".to_owned(),
            Ok(CODE.replace("class B:\n", "class B:\n    y = 1\n")),
        ),
        ("@@\n+y = 1\n".to_owned(), Err("does not say where")),
        (
            "+y = 1\n*** End of File\n".to_owned(),
            Ok(format!("{CODE}y = 1\n")),
        ),
        (
            "@@ def run(self):\n+        y = 1\n".to_owned(),
            Err("stands in 2 places"),
        ),
        (
            " class B:\n+    y = 1\n     def run(self):\n".to_owned(),
            Ok(CODE.replace("class B:\n", "class B:\n    y = 1\n")),
        ),
        (
            "         x = 1\n-        return x\n+        return 3\n*** End of File\n".to_owned(),
            Ok(format!(
                "{}return 3\n",
                CODE.strip_suffix("return x\n").expect("it ends so")
            )),
        ),
        (
            " class A:\n+    z = 1\n*** End of File\n".to_owned(),
            Err("do not stand at the end"),
        ),
    ] {
        match (patched(CODE, &envelope(&body)), expected) {
            (Ok(after), Ok(expected)) => assert_eq!(after, expected, "{body}"),
            (Err(refusal), Err(expected)) => {
                assert!(refusal.contains(expected), "{body}: {refusal}");
            }
            (result, _) => panic!("{body}: {result:?}"),
        }
    }
}

#[test]
fn an_anchor_binds_to_its_block() {
    let code = "fn a() {\n    foo();\n    baz();\n}\n\nfn b() {\n    foo();\n    bar();\n}\n";
    let c = "int a()\n{\n    foo();\n}\n\nint b()\n{\n    bar();\n}\n";
    let toml = "[prod]\nlimit = 3\n\n[staging]\nlimit = 5\n";
    let text = "# Use\n\nfoo\n\n# Build\n\nbar\n";
    let flat = "import a\nimport b\n\nrun(c)\n";
    for (text, body, expected) in [
        (
            code,
            "@@ fn a() {\n     foo();\n-    bar();\n+    qux();\n",
            Err("after the block of its anchor `fn a() {`"),
        ),
        (
            code,
            "@@ fn b() {\n     foo();\n-    bar();\n+    qux();\n",
            Ok(code.replace("bar", "qux")),
        ),
        (
            c,
            "@@ int a()\n-    bar();\n+    qux();\n",
            Err("after the block"),
        ),
        (
            toml,
            "@@ [prod]\n-limit = 5\n+limit = 6\n",
            Err("after the block"),
        ),
        (
            toml,
            "@@ [prod]\n-limit = 3\n+limit = 6\n",
            Ok(toml.replace('3', "6")),
        ),
        (text, "@@ # Use\n-bar\n+new\n", Err("after the block")),
        (
            flat,
            "@@ import a\n-run(c)\n+run(d)\n",
            Ok(flat.replace("(c)", "(d)")),
        ),
        (
            "fn ab() {\n    foo();\n}\n",
            "@@ fn a\n-    foo();\n+    bar();\n",
            Err("is not in the file"),
        ),
    ] {
        match (patched(text, &envelope(body)), expected) {
            (Ok(after), Ok(expected)) => assert_eq!(after, expected, "{body}"),
            (Err(refusal), Err(expected)) => {
                assert!(refusal.contains(expected), "{body}: {refusal}");
            }
            (result, _) => panic!("{body}: {result:?}"),
        }
    }
}

#[test]
fn every_form_says_what_happens_to_each_file() {
    let update = |path: &str, before: &str, after: &str| FilePatch {
        path: path.to_owned(),
        change: FileChange::Update {
            to: None,
            hunks: vec![Hunk {
                before: before.to_owned(),
                after: after.to_owned(),
                ..Hunk::default()
            }],
        },
    };
    let made = |path: &str, text: &str| FilePatch {
        path: path.to_owned(),
        change: FileChange::Create(text.to_owned()),
    };
    let gone = |path: &str, text: Option<&str>| FilePatch {
        path: path.to_owned(),
        change: FileChange::Delete {
            text: text.map(str::to_owned),
        },
    };
    for (patch, expected) in [
        (
            "*** Begin Patch\n*** Add File: new.txt\n+one\n+\n*** Delete File: old.txt\n*** Update File: a\n@@\n-x\n+y\n*** End Patch",
            vec![
                made("new.txt", "one\n\n"),
                gone("old.txt", None),
                update("a", "x\n", "y\n"),
            ],
        ),
        (
            "--- a/src/a.c\t2024\n+++ b/src/a.c\n@@ -1,9 +1,9 @@\n one\n--- minus\n+++ plus\n\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n\\ No newline at end of file\n",
            vec![
                update("src/a.c", "one\n-- minus\n", "one\n++ plus\n"),
                made("new", "n"),
            ],
        ),
        // A blank line without its space, and a line that begins with minuses of its own.
        (
            "--- a/x.sql\n+++ b/x.sql\n@@ -1,3 +1,2 @@\n one\n\n--- remark\n+two\n",
            vec![update("x.sql", "one\n\n-- remark\n", "one\n\ntwo\n")],
        ),
        (
            "diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n",
            vec![gone("x", Some("gone\n"))],
        ),
        (
            "Here it is:\n\nsrc/a.rs\n```rust\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```\n",
            vec![update("src/a.rs", "x\n", "y\n")],
        ),
        (
            "new.rs\n<<<<<<< SEARCH\n=======\ny\n>>>>>>> REPLACE\n",
            vec![made("new.rs", "y\n")],
        ),
        (
            "`new.md`:\n```\ntext\n```rust\nx\n```\n```\n",
            vec![made("new.md", "text\n```rust\nx\n```\n")],
        ),
    ] {
        assert_eq!(parse(patch), Ok(expected), "{patch}");
    }
    let moved = "diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-1\n+2\n";
    let files = parse(moved).expect("a patch");
    assert!(
        matches!(files.as_slice(), [FilePatch { path, change: FileChange::Update { to: Some(to), hunks } }] if path == "x" && to == "y" && hunks.len() == 1)
    );
    for (patch, expected) in [
        ("no patch", "no form"),
        (
            "*** Begin Patch\n*** Update File: a\n@@\nx\n*** End Patch",
            "line 4 of the patch begins with neither",
        ),
        (
            "*** Begin Patch\n*** Rename File: a\n",
            "line 2 of the patch is no order",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n*** End Patch",
            "no form",
        ),
        (
            "a.rs\n<<<<<<< SEARCH\nx\n=======\ny\n=======\nz\n>>>>>>> REPLACE",
            "not exactly one line",
        ),
        (
            "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE",
            "block of no file",
        ),
        ("a.rs\n<<<<<<< SEARCH\nx\n=======\ny\n", "does not end"),
    ] {
        let error = parse(patch).expect_err(patch).to_string();
        assert!(error.contains(expected), "{patch}: {error}");
    }
}

#[test]
fn a_new_file_may_be_a_program() {
    let patch = "diff --git a/run b/run\nnew file mode 100755\n--- /dev/null\n+++ b/run\n@@ -0,0 +1 @@\n+go\n";
    let expected = FilePatch {
        path: "run".to_owned(),
        change: FileChange::CreateProgram("go\n".to_owned()),
    };
    assert_eq!(parse(patch), Ok(vec![expected]));
}

#[test]
fn hunks_of_one_file_are_placed_in_the_text_as_it_was() {
    let text = "a\nb\nc\nd\n";
    for (body, expected) in [
        // The context of each hunk is what the other changes beside.
        (
            "@@\n a\n-b\n+B\n c\n@@\n b\n-c\n+C\n d\n",
            Ok("a\nB\nC\nd\n"),
        ),
        ("@@\n-c\n+C1\n@@\n-c\n+C2\n", Err("same lines")),
        ("@@\n-b\n+c\n@@\n-c\n+e\n", Ok("a\nc\ne\nd\n")),
        ("@@ -99,2 +99,2 @@\n c\n-d\n+D\n", Ok("a\nb\nc\nD\n")),
        ("@@\n d\n+e\n", Ok("a\nb\nc\nd\ne\n")),
        ("@@\n+0\n a\n", Ok("0\na\nb\nc\nd\n")),
    ] {
        match (patched(text, &envelope(body)), expected) {
            (Ok(after), Ok(expected)) => assert_eq!(after, expected, "{body}"),
            (Err(refusal), Err(expected)) => {
                assert!(refusal.contains(expected), "{body}: {refusal}");
            }
            (result, _) => panic!("{body}: {result:?}"),
        }
    }
    assert_eq!(
        patched("", &envelope("@@\n+first\n")),
        Ok("first\n".to_owned())
    );
    assert_eq!(patched("x", &envelope("@@\n-x\n+y\n")), Ok("y".to_owned()));
}
