//! The file of refused rows: each as it was, behind its line and why it was refused. Corrected, it
//! can be imported as it is.
//!
//! What would be a formula in it is marked as text, and the mark is taken away where the file is
//! imported. It is made at the end from what the database keeps, so that after a kill it is as
//! complete as without one.

use std::{
    borrow::Cow,
    io::{self, BufWriter, Write},
    path::Path,
};

use counterfoil_sqlite::{Reader, RefusedRow};
use csv::ByteRecord;
use tempfile::NamedTempFile;

use super::{
    files::Input,
    header::{Header, REJECTED},
    records::{Record, Records},
};
use crate::{database, failure::Failure, spreadsheet};

/// Refused rows that are read at once.
const AT_ONCE: usize = 1000;

/// Writes the refused rows of an import, where there are any; tells whether there are.
///
/// # Errors
/// Where the database cannot be read or the file cannot be written.
pub(super) fn write(
    reader: &Reader,
    import: i64,
    input: &mut Input,
    header: &Header,
) -> Result<bool, Failure> {
    let mut page = reader.refused_rows(import, None, AT_ONCE).map_err(database::read_failure)?;
    if page.is_empty() {
        return Ok(false);
    }
    let to = input.rejects.clone();
    let failed = |error: io::Error| {
        Failure::file("write the refused rows to", &to, &error)
            .hint("name another file with --rejects; the rows themselves are imported")
    };
    let start = header.next;
    let mut records = Records::new(input.content(), header.delimiter, start).map_err(failed)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .delimiter(header.delimiter)
        .from_writer(BufWriter::new(file.as_file_mut()));
    let names = Record { from: start, fields: header.names.clone(), broken: None };
    let mut first: ByteRecord = REJECTED.iter().collect();
    first.extend(own_cells(header, &names));
    writer.write_byte_record(&first).map_err(|error| failed(error.into()))?;
    while let Some(last) = page.last() {
        let behind = last.from.offset;
        for refused in &page {
            let line = line_of(&mut records, header, refused).map_err(failed)?;
            writer.write_byte_record(&line).map_err(|error| failed(error.into()))?;
        }
        page =
            reader.refused_rows(import, Some(behind), AT_ONCE).map_err(database::read_failure)?;
    }
    writer.flush().map_err(failed)?;
    drop(writer);
    file.flush().map_err(failed)?;
    file.persist(&to).map_err(|error| failed(error.error))?;
    Ok(true)
}

fn line_of<R: io::Read + io::Seek>(
    records: &mut Records<R>,
    header: &Header,
    refused: &RefusedRow,
) -> io::Result<ByteRecord> {
    records.go_to(refused.from)?;
    let record = records.read(Some(header.columns.len()))?;
    let refusal = &refused.refusal;
    let line = refused.from.line.to_string();
    let mut cells = ByteRecord::new();
    cells.push_field(line.as_bytes());
    cells.push_field(refusal.reason.code().as_bytes());
    let parameter = refusal.parameter.as_deref().unwrap_or_default();
    cells.push_field(&spreadsheet::harmless(parameter.as_bytes()));
    cells.push_field(refusal.message.as_bytes());
    cells.push_field(refusal.hint.as_deref().unwrap_or_default().as_bytes());
    if let Some(record) = &record {
        cells.extend(own_cells(header, record));
    }
    Ok(cells)
}

/// The cells of a row but for those that tell why it was refused before.
fn own_cells<'a>(header: &'a Header, record: &'a Record) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let is_own = |place: usize| {
        let name = header.names.get(place).unwrap_or_default();
        record.broken.is_some() || !REJECTED.iter().any(|rejected| rejected.as_bytes() == name)
    };
    let cells = record.fields.iter().enumerate();
    cells
        .filter(move |(place, _)| is_own(*place))
        .map(|(_, cell)| spreadsheet::harmless(header.value(cell)))
}
