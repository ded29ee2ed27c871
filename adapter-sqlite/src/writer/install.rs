//! Making rules the ones that decide, in order with the decisions.

use rusqlite::TransactionBehavior;

use super::{NewRules, Writer};
use crate::{
    fault::Fault,
    rules::{self, InstallError, Installed, Rules},
    store::SubmitError,
};

impl Writer {
    pub(super) fn install(&mut self, new: NewRules) -> Result<Installed, InstallError> {
        let NewRules { ruleset, warnings, text, format, at } = new;
        let stored = self.store_rules(&rules::Text { ruleset: &ruleset, text: &text, format, at });
        let stored = match stored {
            Ok(Ok(stored)) => stored,
            Ok(Err(from)) => {
                let tenant = ruleset.tenant().clone();
                return Err(InstallError::CurrencyChange { tenant, from, to: ruleset.currency() });
            }
            Err(fault) if fault.is_of_the_machine() => {
                self.give_up(&fault);
                return Err(InstallError::Store(SubmitError::Unavailable));
            }
            Err(fault) => {
                tracing::error!(error = %fault, "rules could not be stored: a defect");
                return Err(InstallError::Store(SubmitError::Internal));
            }
        };
        let rules = Rules { tenant: stored.tenant, version: stored.version, ruleset };
        self.versions.keep(&rules);
        self.recent.clear();
        self.shared.set_rules(rules.clone());
        let replaced = stored.before.filter(|before| *before != stored.version);
        Ok(Installed { rules, replaced, is_new: stored.is_new, warnings })
    }

    fn store_rules(
        &mut self,
        new: &rules::Text<'_>,
    ) -> Result<Result<rules::Stored, counterfoil_core::Currency>, Fault> {
        let db = self.connection()?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let stored = rules::store(&transaction, new)?;
        if stored.is_ok() {
            transaction.commit()?;
        } else {
            transaction.rollback()?;
        }
        self.is_well();
        Ok(stored)
    }
}
