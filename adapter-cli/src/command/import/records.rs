//! The records of a CSV file, one by one, each with its place. Quoting is `csv_core`'s business;
//! what is ours is to go on behind a record that is broken.
//!
//! A quote that is not closed would swallow the rest of the file. So where a record does not end,
//! grows too long, or spans lines and has not the fields that it should have, its first line counts
//! as the broken record, and reading goes on behind that line. Memory stays flat whatever comes.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use counterfoil_sqlite::FilePlace;
use csv::ByteRecord;
use csv_core::ReadRecordResult;

/// The most bytes of a record without its quotes.
const RECORD_LEN_MAX: usize = 64 * 1024;
/// The most fields of a record.
const FIELDS_MAX: usize = 1024;
/// The most bytes of a line that are kept of a broken record.
const LINE_KEPT_MAX: usize = 64 * 1024;

/// Records of a file.
pub(super) struct Records<R> {
    input: BufReader<R>,
    parser: csv_core::Reader,
    /// Where the next one begins.
    next: FilePlace,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// A record.
pub(super) struct Record {
    /// Where it begins.
    pub(super) from: FilePlace,
    /// Its fields; of one that is broken over several lines, its first line as one field.
    pub(super) fields: ByteRecord,
    /// What is wrong with it.
    pub(super) broken: Option<Broken>,
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It has another number of fields than the header.
    Fields { found: usize, expected: usize },
    /// So it has, and goes on in other lines: a quote ends there, or is that of another row.
    FieldsOverLines { found: usize, expected: usize },
    /// Its quote is not closed.
    Unclosed,
    /// It is too long.
    TooLong,
    /// It is not UTF-8.
    NotUtf8,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields { found, expected } => {
                write!(f, "the row has {found} fields where the header has {expected}")
            }
            Self::FieldsOverLines { found, expected } => write!(
                f,
                "a quote in the row is not closed in its line, and up to where one closes it has \
                 {found} fields where the header has {expected}"
            ),
            Self::Unclosed => f.write_str("a quote in the row is not closed"),
            Self::TooLong => {
                write!(f, "the row is longer than {RECORD_LEN_MAX} bytes or {FIELDS_MAX} fields")
            }
            Self::NotUtf8 => f.write_str("the row is not UTF-8"),
        }
    }
}

impl Broken {
    /// What to try.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Fields { .. } => {
                "quote a cell that has the delimiter or a line break in it; or was the file cut?"
            }
            Self::Unclosed | Self::FieldsOverLines { .. } => {
                "close the quote; within quotes, a quote is written twice"
            }
            Self::TooLong => "look for a quote that is not closed",
            Self::NotUtf8 => "save the file as UTF-8",
        }
    }
}

/// How a record ended.
enum Parsed {
    Record { fields: usize },
    Failed(Broken),
    End,
}

impl<R: Read + Seek> Records<R> {
    /// Reads from a place on.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn new(input: R, delimiter: u8, from: FilePlace) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(64 * 1024, input);
        input.seek(SeekFrom::Start(from.offset))?;
        let parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let (text, ends) = (vec![0; RECORD_LEN_MAX], vec![0; FIELDS_MAX]);
        Ok(Self { input, parser, next: from, text, ends })
    }

    /// Where the next one begins.
    pub(super) fn next_place(&self) -> FilePlace {
        self.next
    }

    /// Goes on from another place.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn go_to(&mut self, place: FilePlace) -> io::Result<()> {
        let by = place.offset.checked_signed_diff(self.next.offset);
        match by {
            Some(by) => self.input.seek_relative(by)?,
            None => drop(self.input.seek(SeekFrom::Start(place.offset))?),
        }
        self.next = place;
        Ok(())
    }

    /// The next record, with `expected` fields where that is known.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn read(&mut self, expected: Option<usize>) -> io::Result<Option<Record>> {
        self.skip_line_ends()?;
        let from = self.next;
        let (found, broken) = match self.parse()? {
            Parsed::End => return Ok(None),
            Parsed::Failed(broken) => return self.first_line(from, broken).map(Some),
            Parsed::Record { fields: found } => {
                let expected = expected.filter(|expected| *expected != found);
                (found, expected.map(|expected| Broken::Fields { found, expected }))
            }
        };
        // A record of one line ends at the end of its line.
        if let Some(Broken::Fields { found, expected }) = broken
            && self.next.line > from.line + 1
        {
            let broken = Broken::FieldsOverLines { found, expected };
            return self.first_line(from, broken).map(Some);
        }
        let fields = self.fields(found);
        let is_utf8 = fields.iter().all(|field| std::str::from_utf8(field).is_ok());
        let broken = broken.or_else(|| (!is_utf8).then_some(Broken::NotUtf8));
        Ok(Some(Record { from, fields, broken }))
    }

    /// Empty lines are no records.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let input = self.input.fill_buf()?;
            let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let skipped = input.iter().take_while(is_end).count();
            if skipped == 0 {
                return Ok(());
            }
            self.consume(skipped);
        }
    }

    fn parse(&mut self) -> io::Result<Parsed> {
        self.parser.reset();
        let (mut length, mut fields) = (0, 0);
        let mut is_ending = false;
        loop {
            let input = self.input.fill_buf()?;
            let has_ended = input.is_empty();
            if has_ended && is_ending {
                let is_nothing = length == 0 && fields == 0;
                return Ok(if is_nothing { Parsed::End } else { Parsed::Failed(Broken::Unclosed) });
            }
            // At the end of the file a line break ends the record, unless a quote is open.
            is_ending = has_ended;
            let input = if has_ended { b"\n" } else { input };
            let text = self.text.get_mut(length..).unwrap_or_default();
            let ends = self.ends.get_mut(fields..).unwrap_or_default();
            let (result, read, written, ended) = self.parser.read_record(input, text, ends);
            let ends_in_two = read.checked_sub(1).and_then(|last| input.get(last)) == Some(&b'\r');
            length += written;
            fields += ended;
            if !has_ended {
                self.consume(read);
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Ok(Parsed::Failed(Broken::TooLong));
                }
                ReadRecordResult::Record => {
                    if ends_in_two {
                        self.skip_line_feed()?;
                    }
                    return Ok(Parsed::Record { fields });
                }
                ReadRecordResult::End => return Ok(Parsed::End),
            }
        }
    }

    /// The second byte of a line end that has two.
    fn skip_line_feed(&mut self) -> io::Result<()> {
        if self.input.fill_buf()?.first() == Some(&b'\n') {
            self.consume(1);
        }
        Ok(())
    }

    fn consume(&mut self, bytes: usize) {
        let read = self.input.buffer().get(..bytes).unwrap_or_default();
        let lines = read.iter().filter(|byte| **byte == b'\n').count();
        self.next.line += lines as u64;
        self.next.offset += bytes as u64;
        self.input.consume(bytes);
    }

    fn fields(&self, count: usize) -> ByteRecord {
        let mut fields = ByteRecord::with_capacity(256, count);
        let mut start = 0;
        for end in self.ends.iter().take(count) {
            fields.push_field(self.text.get(start..*end).unwrap_or_default());
            start = *end;
        }
        fields
    }

    /// The line that a broken record begins with; reading goes on behind it.
    fn first_line(&mut self, from: FilePlace, broken: Broken) -> io::Result<Record> {
        self.go_to(from)?;
        let mut line = Vec::new();
        loop {
            let input = self.input.fill_buf()?;
            if input.is_empty() {
                break;
            }
            let end = input.iter().position(|byte| *byte == b'\n');
            let part = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
            let room = LINE_KEPT_MAX - line.len();
            line.extend(part.iter().take(room));
            let bytes = end.map_or(input.len(), |end| end + 1);
            self.consume(bytes);
            if end.is_some() {
                break;
            }
        }
        let line = line.trim_ascii_end();
        Ok(Record { from, fields: ByteRecord::from(vec![line]), broken: Some(broken) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    type Shown = (u64, Vec<String>, Option<Broken>);

    fn all(text: &[u8], expected: Option<usize>) -> Vec<Shown> {
        let start = FilePlace { line: 1, offset: 0 };
        let mut records = Records::new(Cursor::new(text), b',', start).unwrap();
        let mut shown = Vec::new();
        while let Some(record) = records.read(expected).unwrap() {
            let texts = record.fields.iter().map(|f| String::from_utf8_lossy(f).into_owned());
            shown.push((record.from.line, texts.collect(), record.broken));
            // From its place on, everything is read as before.
            let mut again = Records::new(Cursor::new(text), b',', record.from).unwrap();
            assert_eq!(again.read(expected).unwrap().unwrap().fields, record.fields);
            assert_eq!(again.next_place(), records.next_place());
        }
        shown
    }

    fn row(line: u64, fields: &[&str], broken: Option<Broken>) -> Shown {
        (line, fields.iter().map(|field| (*field).to_owned()).collect(), broken)
    }

    #[test]
    fn line_ends_quotes_and_empty_lines() {
        for text in [
            "a,b\n\n\n\"1\n2\",\"x\"\"y\"\nc,d\n",
            "a,b\r\n\r\n\r\n\"1\n2\",\"x\"\"y\"\r\nc,d\r\n",
            "a,b\n\n\n\"1\n2\",\"x\"\"y\"\nc,d",
            "a,b\n\n\n\"1\n2\",\"x\"\"y\"\nc,\"d\"",
        ] {
            let want = [
                row(1, &["a", "b"], None),
                row(4, &["1\n2", "x\"y"], None),
                row(6, &["c", "d"], None),
            ];
            assert_eq!(all(text.as_bytes(), Some(2)), want, "{text:?}");
        }
        assert_eq!(all(b"", None), []);
        assert_eq!(all(b"\n\n", None), []);
    }

    #[test]
    fn behind_a_broken_record_the_next_line_is_read() {
        let fields = |found| Some(Broken::Fields { found, expected: 2 });
        let over_lines = |found| Some(Broken::FieldsOverLines { found, expected: 2 });
        let table: [(&[u8], Vec<Shown>); 7] = [
            (b"a\nc,d\n", vec![row(1, &["a"], fields(1)), row(2, &["c", "d"], None)]),
            (b"a,b,c\nc,d\n", vec![row(1, &["a", "b", "c"], fields(3)), row(2, &["c", "d"], None)]),
            (
                b"a,\"b\nc,d\n",
                vec![row(1, &["a,\"b"], Some(Broken::Unclosed)), row(2, &["c", "d"], None)],
            ),
            (
                b"c,d\na,\"",
                vec![row(1, &["c", "d"], None), row(2, &["a,\""], Some(Broken::Unclosed))],
            ),
            (
                b"\"a,b\nc,d\n\"e\",f,g\n",
                vec![
                    row(1, &["\"a,b"], over_lines(3)),
                    row(2, &["c", "d"], None),
                    row(3, &["e", "f", "g"], fields(3)),
                ],
            ),
            // The quote of the last cell is closed by that of the next row.
            (
                b"a,\"b\nc,\"d,e\"\nf,g\n",
                vec![
                    row(1, &["a,\"b"], over_lines(3)),
                    row(2, &["c", "d,e"], None),
                    row(3, &["f", "g"], None),
                ],
            ),
            (
                b"a,\xff\nc,d\n",
                vec![row(1, &["a", "\u{fffd}"], Some(Broken::NotUtf8)), row(2, &["c", "d"], None)],
            ),
        ];
        for (text, want) in table {
            let got = all(text, Some(2));
            assert_eq!(got, want, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_too_long_is_cut_off_at_its_line() {
        let long = "x".repeat(RECORD_LEN_MAX + 1);
        let many = "x,".repeat(FIELDS_MAX);
        for line in [&long, &many] {
            let got = all(format!("{line}\nc,d\n").as_bytes(), Some(2));
            assert_eq!(got[0].2, Some(Broken::TooLong));
            assert_eq!(got[1], row(2, &["c", "d"], None));
        }
    }
}
