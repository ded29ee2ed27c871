//! Secrets (`{secret:NAME}`): a file of that name in the folder of secrets, else an environment
//! variable. Values are looked up at the moment of use and never printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::{Path, PathBuf},
};

use counterfoil_core::{Ruleset, SecretName, SigningKey, SigningKeyError};

use crate::failure::Failure;

/// The variable in which a service manager names the folder of credentials.
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// The secret that administrators show.
const ADMIN_TOKEN: &str = "admin_token";
const VARIABLE_PREFIX: &str = "COUNTERFOIL_SECRET_";

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// Neither a file nor a variable.
    #[error("there is no secret `{name}`")]
    Missing {
        /// The secret.
        name: SecretName,
        /// What to provide.
        hint: String,
    },
    /// The file is there and cannot be read.
    #[error("cannot read the secret `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("the secret `{0}` is empty")]
    Empty(SecretName),
    /// It should sign messages.
    #[error("the secret `{name}` is no signing key: {source}")]
    NoSigningKey {
        /// The secret.
        name: SecretName,
        /// What is wrong with it.
        source: SigningKeyError,
    },
    /// Two names lead to one variable.
    #[error("the secrets `{first}` and `{second}` are both looked up as `{variable}`")]
    Clash {
        /// One name.
        first: SecretName,
        /// The other.
        second: SecretName,
        /// The variable.
        variable: String,
    },
}

impl SecretError {
    /// What to try.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Missing { hint, .. } => hint.clone(),
            Self::Unreadable { .. } => "let this user read the file".to_owned(),
            Self::Empty(_) => "put the secret into it".to_owned(),
            Self::NoSigningKey { .. } => SigningKeyError::HINT.to_owned(),
            Self::Clash { .. } => {
                "rename one of them, or put them into the folder of `--secrets`".to_owned()
            }
        }
    }
}

/// Where secrets are looked up.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    folder: Option<PathBuf>,
}

impl Secrets {
    /// Secrets of the folder given, else of the service manager's, and of the environment.
    ///
    /// # Errors
    /// Where the folder given is none: secrets would silently come from elsewhere.
    pub(crate) fn new(folder: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(folder) = folder.as_deref().filter(|folder| !folder.is_dir()) {
            let what = if folder.exists() { "is no folder" } else { "does not exist" };
            let folder = folder.display();
            return Err(Failure::could_not(format_args!(
                "the folder of secrets `{folder}` {what}"
            ))
            .hint("name a folder with one file for each secret, or leave --secrets out"));
        }
        let folder = folder.or_else(|| env::var_os(CREDENTIALS_FOLDER).map(PathBuf::from));
        Ok(Self { folder })
    }

    /// The value of a secret, without the line end that editors leave.
    pub(crate) fn value(&self, name: &SecretName) -> Result<String, SecretError> {
        let text = match self.file(name)? {
            Some(text) => text,
            None => env::var(variable(name)).map_err(|_| self.missing(name))?,
        };
        let value = text.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            return Err(SecretError::Empty(name.clone()));
        }
        Ok(value.to_owned())
    }

    /// The token of the admin listener, where there is one.
    pub(crate) fn admin_token(&self) -> Result<Option<String>, Failure> {
        let name = SecretName::new(ADMIN_TOKEN).map_err(Failure::could_not)?;
        match self.value(&name) {
            Ok(value) => Ok(Some(value)),
            Err(SecretError::Missing { .. }) => Ok(None),
            Err(error) => Err(Failure::could_not(&error).hint(error.hint())),
        }
    }

    /// The key of this name that signs messages.
    pub(crate) fn signing_key(&self, name: &SecretName) -> Result<SigningKey, SecretError> {
        let key = SigningKey::parse(&self.value(name)?);
        key.map_err(|source| SecretError::NoSigningKey { name: name.clone(), source })
    }

    /// Everything that is wrong with the secrets that rules name: as [`Self::problems_of_names`]
    /// says, and what should sign and is no key.
    pub(crate) fn problems<'a>(
        &self,
        rulesets: impl Iterator<Item = &'a Ruleset> + Clone,
    ) -> Vec<SecretError> {
        let names = rulesets.clone().flat_map(Ruleset::secrets);
        let signing: BTreeSet<&SecretName> = rulesets.flat_map(Ruleset::signing_secrets).collect();
        let unfit = signing.into_iter().filter_map(|name| self.signing_key(name).err());
        // What cannot be had at all is among the problems of names.
        let unfit = unfit.filter(|error| matches!(error, SecretError::NoSigningKey { .. }));
        let mut problems = self.problems_of_names(names);
        problems.extend(unfit);
        problems
    }

    /// What cannot be had, and what is looked up as the variable of another, the administrators'
    /// token included.
    fn problems_of_names<'a>(
        &self,
        names: impl Iterator<Item = &'a SecretName>,
    ) -> Vec<SecretError> {
        let names: BTreeSet<&SecretName> = names.collect();
        let missing = names.iter().filter_map(|name| self.value(name).err());
        let mut problems: Vec<SecretError> = missing.collect();
        let admin_token = SecretName::new(ADMIN_TOKEN).ok();
        let mut of_variable: BTreeMap<String, &SecretName> = BTreeMap::new();
        for name in admin_token.iter().chain(names) {
            let in_folder = matches!(self.file(name), Ok(Some(_)));
            if in_folder {
                continue;
            }
            let variable = variable(name);
            match of_variable.get(&variable) {
                Some(&first) if first != name => problems.push(SecretError::Clash {
                    first: first.clone(),
                    second: name.clone(),
                    variable,
                }),
                _ => drop(of_variable.insert(variable, name)),
            }
        }
        problems
    }

    /// What is odd about secrets that can be had: of each, what and what to do.
    pub(crate) fn oddities<'a>(
        &self,
        names: impl Iterator<Item = &'a SecretName>,
    ) -> Vec<(String, String)> {
        let admin_token = SecretName::new(ADMIN_TOKEN).ok();
        let names: BTreeSet<SecretName> = names.cloned().chain(admin_token).collect();
        let mut odd = Vec::new();
        for name in &names {
            let Some(path) = self.path(name).filter(|path| path.is_file()) else {
                continue;
            };
            let variable = variable(name);
            let other = env::var(&variable).ok();
            let own = self.value(name).ok();
            let differs =
                |other: &String| Some(other.trim_end_matches(['\r', '\n'])) != own.as_deref();
            if other.as_ref().is_some_and(differs) {
                odd.push((
                    format!("`{}` and `{variable}` differ: the file counts", path.display()),
                    "remove the one that is not meant".to_owned(),
                ));
            }
            if is_open_to_all(&path) {
                odd.push((
                    format!("every user of this machine can read `{}`", path.display()),
                    format!("chmod o-r {}", path.display()),
                ));
            }
        }
        odd
    }

    fn file(&self, name: &SecretName) -> Result<Option<String>, SecretError> {
        let Some(path) = self.path(name) else {
            return Ok(None);
        };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SecretError::Unreadable { path, source }),
        }
    }

    fn path(&self, name: &SecretName) -> Option<PathBuf> {
        let folder = self.folder.as_deref()?;
        Some(folder.join(Path::new(name.as_str())))
    }

    fn missing(&self, name: &SecretName) -> SecretError {
        let variable = variable(name);
        let hint = match self.path(name) {
            Some(path) => format!("write it to `{}`, or set `{variable}`", path.display()),
            None => format!("set `{variable}`, or name a folder with a file `{name}` (--secrets)"),
        };
        let name = name.clone();
        SecretError::Missing { name, hint }
    }
}

/// Whether a file can be read by users who neither own it nor are of its group: it and its folder
/// let them.
#[cfg(unix)]
pub(crate) fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let lets = |path: &Path, bit: u32| {
        fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bit != 0)
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    lets(path, 0o004) && lets(folder.unwrap_or(Path::new(".")), 0o001)
}

#[cfg(not(unix))]
pub(crate) fn is_open_to_all(_path: &Path) -> bool {
    false
}

/// A token that nobody can guess: 128 random bits in hexadecimal digits.
pub(crate) fn random_token() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Failure::could_not)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The variable of a secret: upper case, `-` and `.` as `_`.
fn variable(name: &SecretName) -> String {
    let upper = name.as_str().to_ascii_uppercase();
    format!("{VARIABLE_PREFIX}{}", upper.replace(['-', '.'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        SecretName::new(text).unwrap()
    }

    #[test]
    fn a_file_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shoply"), "s3cret\r\n").unwrap();
        let secrets = Secrets::new(Some(folder.path().into())).unwrap();
        assert_eq!(secrets.value(&name("shoply")).unwrap(), "s3cret");
    }

    #[test]
    fn what_is_missing_or_empty_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("blank"), "\n").unwrap();
        let secrets = Secrets::new(Some(folder.path().into())).unwrap();
        let missing = secrets.value(&name("bo.api-key")).unwrap_err();
        assert!(missing.hint().contains("COUNTERFOIL_SECRET_BO_API_KEY"));
        let blank = secrets.value(&name("blank")).unwrap_err();
        assert!(matches!(blank, SecretError::Empty(_)));
    }

    #[test]
    fn names_that_share_a_variable_clash_unless_files_tell_them_apart() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(folder.path().into())).unwrap();
        let names = [name("a.b"), name("a-b"), name("a.b")];
        let clashes = |problems: Vec<SecretError>| {
            let clash = |problem: &&SecretError| matches!(problem, SecretError::Clash { .. });
            problems.iter().filter(clash).count()
        };
        assert_eq!(clashes(secrets.problems_of_names(names.iter())), 1);
        assert_eq!(clashes(secrets.problems_of_names([name("admin.token")].iter())), 1);
        assert_eq!(clashes(secrets.problems_of_names([name("admin_token")].iter())), 0);
        fs::write(folder.path().join("a.b"), "1").unwrap();
        fs::write(folder.path().join("a-b"), "2").unwrap();
        assert!(secrets.problems_of_names(names.iter()).is_empty());
    }
}
