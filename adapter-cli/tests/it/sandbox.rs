//! A command line case: files in a folder of its own, arguments, and what must come out.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The token of the admin listener in all tests.
pub(crate) const ADMIN_TOKEN: &str = "token-of-the-tests";

/// A folder with files, in which commands run.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder }
    }

    /// A sandbox with the rules of [`RULES`] as `rules.toml`.
    pub(crate) fn with_rules() -> Self {
        Self::new().file("rules.toml", RULES)
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).expect("a file");
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary, in this folder, with no settings from outside.
    pub(crate) fn command(&self) -> Command {
        command_in(self.folder.path(), env!("CARGO_BIN_EXE_counterfoil"))
    }

    /// Runs the binary with arguments that are separated by spaces.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments.split_whitespace())
    }

    /// The same, with this on standard input.
    pub(crate) fn run_fed(&self, arguments: &str, input: &str) -> Ran {
        let mut command = self.command();
        command.args(arguments.split_whitespace()).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let mut stdin = child.stdin.take().expect("standard input");
        stdin.write_all(input.as_bytes()).expect("room for it");
        drop(stdin);
        Ran::of(&child.wait_with_output().expect("an end"))
    }

    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        let output = self.command().args(arguments).output().expect("the binary");
        Ran::of(&output)
    }
}

/// A program in a folder, with the secrets of the tests and no other settings.
pub(crate) fn command_in(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("COUNTERFOIL_")) {
        command.env_remove(name);
    }
    command
        .env_remove("RUST_LOG")
        .env_remove("CREDENTIALS_DIRECTORY")
        .env("COUNTERFOIL_SECRET_ADMIN_TOKEN", ADMIN_TOKEN)
        .current_dir(folder);
    command
}

/// How a command ended and what it printed. Its methods assert and hand it on.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let ran = Self {
            code: output.status.code().expect("an exit code"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        let coloured = ran.stdout.contains('\u{1b}') || ran.stderr.contains('\u{1b}');
        assert!(!coloured, "colour off a terminal: {ran:?}");
        ran
    }

    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn stdout_has(self, part: &str) -> Self {
        assert!(self.stdout.contains(part), "`{part}` is not in {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn stderr_has(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "`{part}` is not in {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn no_stdout(self) -> Self {
        assert_eq!(self.stdout, "", "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Rules with one offer, one affiliate and one commission of each kind.
pub(crate) const RULES: &str = r#"
tenant   = "acme"
currency = "EUR"

[[advertiser]]
id   = "shoply"
name = "Shoply"

[[affiliate]]
id   = "bo"
name = "Blogger Bo"

[[offer]]
id         = "shoply-cz"
name       = "Shoply Czechia"
advertiser = "shoply"
url        = "https://shoply.example/?pcid={pcid}"

[[commission]]
id      = "tenth"
type    = "sale"
revenue = { percent = "10" }
payout  = { percent_of_revenue = "50" }
"#;
