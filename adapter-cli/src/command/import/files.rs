//! The files that are imported: which, what is in them, and whether it is text that can be read.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use counterfoil_sqlite::FilePlace;
use sha2::{Digest, Sha256};

use crate::{
    failure::Failure,
    output::{self, counted},
};

/// What stands for standard input.
const STDIN: &str = "-";
const BOM: &[u8] = b"\xef\xbb\xbf";
/// How a file begins that is UTF-16.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// The end of the names of files of refused rows.
const REJECTS: &str = ".rejects.csv";

/// A file that can be read from any place, as it was when it was opened.
#[derive(Debug)]
pub(super) struct Input {
    /// What people call it.
    pub(super) label: String,
    /// The path by which it is known again; of standard input there is none.
    pub(super) name: Option<String>,
    /// The SHA-256 of its content.
    pub(super) hash: [u8; 32],
    /// Its length in bytes.
    pub(super) len: u64,
    /// Where its refused rows go.
    pub(super) rejects: PathBuf,
    /// Whether somebody named that place.
    pub(super) is_rejects_named: bool,
    content: File,
    has_bom: bool,
}

/// Opens files, the CSV files of folders by name, and standard input under the name `-`.
///
/// # Errors
/// Where one is missing, cannot be read, or is UTF-16.
pub(super) fn open_all(paths: &[PathBuf], rejects: Option<&Path>) -> Result<Vec<Input>, Failure> {
    let files = gather(paths)?;
    if files.is_empty() {
        return Err(Failure::could_not("there is no CSV file in the folder")
            .hint("its files are taken whose names end in .csv"));
    }
    if rejects.is_some() && files.len() > 1 {
        return Err(Failure::usage("--rejects names one file, and several are imported")
            .hint("leave it out: refused rows then go beside each file"));
    }
    let mut inputs = Vec::new();
    for file in &files {
        let mut input = Input::open(file)?;
        if let Some(rejects) = rejects {
            input.rejects = rejects.to_owned();
            input.is_rejects_named = true;
        }
        inputs.push(input);
    }
    Ok(inputs)
}

fn gather(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error: io::Error| Failure::file("read the folder", path, &error);
        let entries: Vec<_> = fs::read_dir(path).and_then(Iterator::collect).map_err(unreadable)?;
        let all = entries.iter().map(fs::DirEntry::path);
        let is_csv =
            |file: &PathBuf| file.extension().is_some_and(|end| end == "csv") && file.is_file();
        let (mut found, others): (Vec<PathBuf>, Vec<PathBuf>) = all.partition(is_csv);
        found.sort();
        tell_others(path, &others);
        let is_rejects = |file: &PathBuf| file.to_string_lossy().ends_with(REJECTS);
        let (skipped, found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_rejects);
        for file in skipped {
            output::tell(format_args!("skipped `{}`: it holds refused rows", file.display()));
        }
        files.extend(found);
    }
    Ok(files)
}

/// What else lies in a folder.
fn tell_others(folder: &Path, others: &[PathBuf]) {
    if others.is_empty() {
        return;
    }
    let folders = others.iter().filter(|other| other.is_dir()).count();
    let counts = [(folders, "folder"), (others.len() - folders, "other file")];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, what)| counted(count as u64, what)).collect();
    output::tell(format_args!(
        "skipped in `{}`: {}; its own files are taken whose names end in .csv",
        folder.display(),
        counts.join(" and ")
    ));
}

impl Input {
    fn open(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| Failure::file("read", path, &error);
        let is_stdin = path == Path::new(STDIN);
        let (label, mut content) = if is_stdin {
            ("standard input".to_owned(), spool().map_err(unreadable)?)
        } else {
            (path.display().to_string(), File::open(path).map_err(unreadable)?)
        };
        let mut start = Vec::new();
        content.by_ref().take(4).read_to_end(&mut start).map_err(unreadable)?;
        if is_utf_16(&start) {
            return Err(Failure::could_not(format_args!("`{label}` is UTF-16"))
                .hint("save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8"));
        }
        if start.contains(&0) {
            return Err(Failure::could_not(format_args!(
                "`{label}` is no text: a zero byte is in it"
            ))
            .hint("import files of comma-separated values in UTF-8"));
        }
        let (hash, len) = hash_of(&mut content).map_err(unreadable)?;
        let name = (!is_stdin).then(|| {
            let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            full.to_string_lossy().into_owned()
        });
        let rejects = if is_stdin { stream_name(&hash) } else { path.with_extension("") };
        let mut rejects = rejects.into_os_string();
        rejects.push(REJECTS);
        let has_bom = start.starts_with(BOM);
        let (rejects, is_rejects_named) = (rejects.into(), false);
        Ok(Self { label, name, hash, len, rejects, is_rejects_named, content, has_bom })
    }

    /// Where the header begins.
    pub(super) fn start(&self) -> FilePlace {
        let offset = if self.has_bom { BOM.len() as u64 } else { 0 };
        FilePlace { line: 1, offset }
    }

    /// The content, to be read from any place; what is appended meanwhile is not part of it.
    pub(super) fn content(&mut self) -> Content<'_> {
        Content { file: &mut self.content, len: self.len, at: 0 }
    }
}

/// The first so many bytes of a file.
pub(super) struct Content<'a> {
    file: &'a mut File,
    len: u64,
    at: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = to.len().min(left);
        let read = self.file.read(to.get_mut(..room).unwrap_or_default())?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Content<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// With a mark at its start, or with a zero in every other byte of its first letters.
fn is_utf_16(start: &[u8]) -> bool {
    let is_zero: Vec<bool> = start.iter().map(|byte| *byte == 0).collect();
    UTF_16.iter().any(|mark| start.starts_with(mark))
        || matches!(is_zero[..], [false, true, false, true] | [true, false, true, false])
}

/// What the refused rows of a stream are named by: those of another stream are not theirs.
fn stream_name(hash: &[u8; 32]) -> PathBuf {
    let [a, b, c, d, ..] = hash;
    PathBuf::from(format!("stdin-{a:02x}{b:02x}{c:02x}{d:02x}"))
}

/// Standard input as a file without a name.
fn spool() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.rewind()?;
    Ok(file)
}

fn hash_of(file: &mut File) -> io::Result<([u8; 32], u64)> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut part = vec![0; 64 * 1024];
    let mut len = 0;
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            return Ok((hasher.finalize().into(), len));
        }
        hasher.update(part.get(..read).unwrap_or_default());
        len += read as u64;
    }
}
