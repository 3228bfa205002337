//! What the name of a variable, a setting or a key says of its value (spec: No secrets in logs or traces).

/// Words that say that a value is secret.
const SECRET_WORDS: &[&str] = &[
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "CREDENTIAL",
    "AUTHORIZATION",
    "COOKIE",
];

/// Words that make of a name what is no secret: the path of one, its kind, a key that everybody may know.
const HARMLESS_WORDS: &[&str] = &[
    "algorithm",
    "alg",
    "cache",
    "class",
    "code",
    "column",
    "count",
    "digest",
    "endpoint",
    "error",
    "expires",
    "expiry",
    "field",
    "file",
    "fingerprint",
    "foreign",
    "format",
    "hash",
    "header",
    "id",
    "index",
    "integrity",
    "label",
    "length",
    "limit",
    "max",
    "min",
    "name",
    "path",
    "pattern",
    "placeholder",
    "primary",
    "prompt",
    "pub",
    "public",
    "regex",
    "size",
    "sort",
    "type",
    "uri",
    "url",
    "usage",
    "version",
    "site",
];

/// Words beside which `key` and `auth` mean a secret.
const KEY_WORDS: &[&str] = &[
    "access",
    "account",
    "admin",
    "api",
    "app",
    "auth",
    "authorization",
    "aws",
    "client",
    "consumer",
    "encryption",
    "hmac",
    "license",
    "master",
    "personal",
    "private",
    "project",
    "secret",
    "security",
    "service",
    "session",
    "shared",
    "signing",
    "storage",
    "user",
];

/// Words that mean a secret by themselves.
const STRONG_WORDS: &[&str] = &[
    "apikey",
    "authtoken",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "secrets",
    "token",
    "tokens",
];

/// How surely a name is that of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// A password: its value may be a word.
    Password,
    /// A key or a token: its value is random.
    Key,
}

/// Whether the name of an environment variable, a setting or a header says that its value is a secret.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| {
        name.split(['_', '-'])
            .any(|part| part.trim_end_matches('S') == *word || part == *word)
    }) || name.ends_with("APIKEY")
}

/// The values of a file of variables (`.env`) that are secret: by their names, or because they are the password of an
/// address.
pub fn secret_variables(text: &str) -> Vec<String> {
    let assigned = text.lines().filter_map(|line| {
        let line = line.trim();
        let (name, value) = line
            .strip_prefix("export ")
            .unwrap_or(line)
            .split_once('=')?;
        let value = value.trim();
        let quoted = ['"', '\'', '`']
            .into_iter()
            .find_map(|quote| value.strip_prefix(quote)?.rsplit_once(quote));
        let plain = value.split(" #").next().unwrap_or(value).trim_end();
        Some((name.trim(), quoted.map_or(plain, |(inside, _)| inside)))
    });
    let secret = assigned.filter_map(|(name, value)| {
        let is_named = names_a_secret(name) || promise(name).is_some();
        if is_named && !name.starts_with('#') {
            return Some(value);
        }
        let login = value.split_once("://")?.1.split('/').next()?;
        Some(login.rsplit_once('@')?.0.split_once(':')?.1)
    });
    secret.map(str::to_owned).collect()
}

/// What a name in any text promises of the value that it is given.
pub(super) fn promise(name: &str) -> Option<Promise> {
    let words = words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let last = words.last().map(String::as_str);
    if last.is_some_and(|last| HARMLESS_WORDS.contains(&last))
        || has(&[
            "public",
            "pub",
            "primary",
            "foreign",
            "sort",
            "cache",
            "site",
            "placeholder",
            "hash",
        ])
    {
        return None;
    }
    if has(&["password", "passwd", "pwd", "passphrase", "pass", "passw"]) {
        return Some(Promise::Password);
    }
    let is_variable = words.len() > 1 && !name.bytes().any(|byte| byte.is_ascii_lowercase());
    let is_key = has(&["key", "keys", "auth", "authorization"])
        && (is_variable || has(KEY_WORDS) && words.len() > 1);
    (has(STRONG_WORDS) || is_key).then_some(Promise::Key)
}

/// The words of a name such as `apiKey`, `api_key`, `API-KEY` or `api.key`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        let is_upper = character.is_ascii_uppercase();
        if !character.is_ascii_alphanumeric() || (is_upper && was_lower) {
            words.push(String::new());
        }
        was_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        if let Some(word) = words.last_mut()
            && character.is_ascii_alphanumeric()
        {
            word.push(character.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_are_told_from_others() {
        for name in [
            "OPENAI_API_KEY",
            "GITHUB_TOKEN",
            "DB_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "MY_APIKEY",
            "Api-Key",
            "x-auth-token",
            "Authorization",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in [
            "PATH",
            "KEYBOARD",
            "TOKENIZERS_PARALLELISM",
            "HOME",
            "X-Team",
        ] {
            assert!(!names_a_secret(name), "{name}");
        }
    }

    #[test]
    fn a_file_of_variables_says_which_values_are_secret() {
        let text = "# API_KEY=example\nNODE_ENV=development\nSECRET=abc123planted\nexport API_TOKEN = 'a b#c' # x\n\
                    DATABASE_URL=\"postgres://me:hunter22@localhost:5432/db\"\nDB_PASSWORD=two words # why\nPORT=3000\n";
        let expected = ["abc123planted", "a b#c", "hunter22", "two words"];
        assert_eq!(secret_variables(text), expected);
    }

    #[test]
    fn a_name_promises_a_secret_by_its_words() {
        for (name, expected) in [
            ("apiKey", Some(Promise::Key)),
            ("ADAFRUIT_KEY", Some(Promise::Key)),
            ("clientSecret", Some(Promise::Key)),
            ("spring.datasource.password", Some(Promise::Password)),
            ("DB_PASS", Some(Promise::Password)),
            ("x-api-key", Some(Promise::Key)),
            ("key", None),
            ("tokenizer", None),
            ("monkey", None),
            ("publicKey", None),
            ("primary_key", None),
            ("token_type", None),
            ("API_KEY_FILE", None),
        ] {
            assert_eq!(promise(name), expected, "{name}");
        }
    }
}
