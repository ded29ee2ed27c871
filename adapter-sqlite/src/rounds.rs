//! Rounds: files that are to be imported anew, each kept from before its first row until the round
//! has ended. Whoever is cut short in a round finds in it which files had their turn.

use counterfoil_core::{TenantName, Timestamp};
use rusqlite::{Row, params};

use crate::{ReadError, Reader, Rules, Store, SubmitError, fault::Fault, rules};

/// A file of a round that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundFile {
    /// Equal for the files of one round.
    pub round: i64,
    /// When the round began.
    pub began_at: Timestamp,
    /// What people call the file: its path.
    pub name: String,
    /// The SHA-256 of its content, which is in one round of a tenant at most.
    pub hash: [u8; 32],
    /// The [`Import::id`](crate::Import::id) above which an import of the content is that of the
    /// round.
    pub newer_than: i64,
    /// Whether all its rows are stored.
    pub is_done: bool,
}

impl Reader {
    /// The files of all rounds of a tenant that have not ended.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn round_files(&self, tenant: &TenantName) -> Result<Vec<RoundFile>, ReadError> {
        self.with(|db| {
            let Some((tenant, _)) = rules::tenant_of(db, tenant)? else {
                return Ok(Vec::new());
            };
            let mut statement = db.prepare_cached(
                "SELECT round, began_at, name, hash, newer_than, is_done FROM import_rounds \
                 WHERE tenant = ?1 ORDER BY round, name, hash",
            )?;
            let files = statement.query_map([tenant], read)?;
            Ok(files.collect::<Result<_, _>>()?)
        })
    }
}

impl Store {
    /// Forgets contents and then keeps files, in the place of what was kept of their contents:
    /// all of it, or nothing. It is on stable storage when this returns.
    ///
    /// # Errors
    /// As [`Store::submit`]; nothing has changed then.
    pub fn change_rounds(
        &self,
        rules: &Rules,
        forget: Vec<[u8; 32]>,
        keep: Vec<RoundFile>,
    ) -> Result<(), SubmitError> {
        let tenant = rules.tenant;
        self.alone(move |db| {
            let forgotten = "DELETE FROM import_rounds WHERE tenant = ?1 AND hash = ?2";
            for hash in &forget {
                db.prepare_cached(forgotten)?.execute(params![tenant, hash])?;
            }
            let kept = "INSERT OR REPLACE INTO import_rounds \
                        (tenant, round, began_at, name, hash, newer_than, is_done) \
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            for file in &keep {
                let RoundFile { round, began_at, name, hash, newer_than, is_done } = file;
                let values =
                    params![tenant, round, began_at.as_ms(), name, hash, newer_than, is_done];
                db.prepare_cached(kept)?.execute(values)?;
            }
            Ok::<_, Fault>(())
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<RoundFile> {
    Ok(RoundFile {
        round: row.get(0)?,
        began_at: Timestamp::from_ms(row.get(1)?),
        name: row.get(2)?,
        hash: row.get(3)?,
        newer_than: row.get(4)?,
        is_done: row.get(5)?,
    })
}
