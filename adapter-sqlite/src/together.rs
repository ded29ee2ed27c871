//! Rows that one statement writes: finding the place of a row costs as much as writing it.

use rusqlite::{
    CachedStatement, Connection, ToSql,
    types::{ToSqlOutput, Value},
};

use crate::fault::Fault;

/// Rows of one statement, where there are so many.
const TOGETHER: usize = 8;

/// An `INSERT` of several rows.
pub(crate) struct Insert {
    one: String,
    many: String,
}

impl Insert {
    /// Into these columns; `rest` follows the rows. A statement that fails leaves the rows that it
    /// wrote before, or else SQLite would have to copy each page before it changes it: whoever
    /// hears of it rolls the transaction back.
    pub(crate) fn new(table: &str, columns: &str, rest: &str) -> Self {
        let row = format!("({})", vec!["?"; columns.split(',').count()].join(", "));
        let insert = |rows: usize| {
            let rows = vec![&*row; rows].join(", ");
            format!("INSERT OR FAIL INTO {table} ({columns}) VALUES {rows} {rest}")
        };
        Self { one: insert(1), many: insert(TOGETHER) }
    }

    /// Writes rows in their order; `give` gives the values of each. Returns how many were written.
    pub(crate) fn write<R>(
        &self,
        db: &Connection,
        rows: &[R],
        give: impl Fn(&R, &mut Values<'_, '_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let write = |sql: &str, rows: &[R]| {
            let mut statement = db.prepare_cached(sql)?;
            let mut values = Values::of(&mut statement);
            rows.iter().try_for_each(|row| give(row, &mut values))?;
            Ok::<_, Fault>(statement.raw_execute()?)
        };
        let (many, rest) = rows.as_chunks::<TOGETHER>();
        let mut written = 0;
        for rows in many {
            written += write(&self.many, rows)?;
        }
        for row in rest {
            written += write(&self.one, std::slice::from_ref(row))?;
        }
        Ok(written)
    }
}

/// Takes the values of rows, one row after another. NULL is not bound: a statement from the cache
/// has it already, and a fourth of all values are NULL.
pub(crate) struct Values<'s, 'db> {
    statement: &'s mut CachedStatement<'db>,
    given: usize,
}

impl<'s, 'db> Values<'s, 'db> {
    /// For a statement that is executed raw when they are given.
    pub(crate) fn of(statement: &'s mut CachedStatement<'db>) -> Self {
        Self { statement, given: 0 }
    }

    /// The values of the next row, in the order of the columns.
    pub(crate) fn row(&mut self, columns: &[&dyn ToSql]) -> Result<(), Fault> {
        for column in columns {
            self.given += 1;
            let value = column.to_sql()?;
            if !matches!(value, ToSqlOutput::Owned(Value::Null)) {
                self.statement.raw_bind_parameter(self.given, value)?;
            }
        }
        Ok(())
    }
}
