//! Versions of rules.

use counterfoil_core::{Note, TenantName};
use counterfoil_sqlite::{InstallError, RulesFormat};

use crate::common::{Db, RULES, acme, at};

#[test]
fn the_same_text_is_the_same_version() {
    let mut db = Db::new();
    let install = |db: &Db, text: &str, ms: i64| {
        db.store().install_rules(Some(&acme()), text, RulesFormat::Toml, at(ms)).unwrap()
    };
    let other = format!("{RULES}\n# later\n");
    let again = install(&db, RULES, 1);
    assert_eq!((again.rules.version(), again.replaced, again.is_new), (1, None, false));
    let second = install(&db, &other, 2);
    assert_eq!((second.rules.version(), second.replaced, second.is_new), (2, Some(1), true));
    let back = install(&db, RULES, 3);
    assert_eq!((back.rules.version(), back.replaced, back.is_new), (1, Some(2), false));
    let text = |version| db.reader().rules_text(&acme(), version).unwrap().unwrap();
    assert_eq!((text(None).version, text(None).text.as_str()), (1, RULES));
    assert_eq!((text(Some(2)).text, text(Some(2)).installed_at), (other, at(2)));
    assert_eq!(db.reader().rules_text(&acme(), Some(3)).unwrap(), None);
    db.reopen();
    assert_eq!(db.store().rules("acme").unwrap().version(), 1);
    assert_eq!(db.reader().rules(&acme(), Some(2)).unwrap().unwrap().version(), 2);
    assert!(db.store().rules("nobody").is_none());
}

#[test]
fn rules_that_cannot_be_leave_the_old_ones() {
    let db = Db::new();
    let install = |tenant: Option<&TenantName>, text: &str| {
        db.store().install_rules(tenant, text, RulesFormat::Toml, at(1)).unwrap_err()
    };
    assert!(matches!(install(None, "tenant ="), InstallError::Invalid(_)));
    let rival = TenantName::new("rival").unwrap();
    assert!(matches!(install(Some(&rival), RULES), InstallError::OtherTenant { .. }));
    let crowns = RULES.replace("\"EUR\"", "\"CZK\"");
    db.click(at(0));
    assert!(matches!(install(None, &crowns), InstallError::CurrencyChange { .. }));
    assert_eq!(db.number("SELECT count(*) FROM rulesets"), 1);
    assert_eq!(db.ruleset().currency().code(), "EUR");
}

#[test]
fn a_tenant_without_rows_may_change_its_currency() {
    let db = Db::new();
    let crowns = RULES.replace("\"EUR\"", "\"CZK\"");
    db.store().install_rules(None, &crowns, RulesFormat::Toml, at(1)).unwrap();
    assert_eq!(db.ruleset().currency().code(), "CZK");
}

/// R27: counters are kept only under a limit, so a new limit counts what was made before it.
#[test]
fn a_new_limit_counts_what_was_made_before_it() {
    let db = Db::new();
    let pcid = db.click(at(0));
    for n in 0..3 {
        db.send(&format!("pcid={pcid}&type=sale&external_id=o{n}&value=10"), at(n));
    }
    assert_eq!(db.number("SELECT count(*) FROM counters"), 0);
    let limited = RULES.replace("type    = \"sale\"", "type    = \"sale\"\nrecurrence = 4");
    db.store().install_rules(None, &limited, RulesFormat::Toml, at(5)).unwrap();
    assert_eq!(db.number("SELECT made FROM counters"), 3);
    let fourth = db.send(&format!("pcid={pcid}&type=sale&external_id=o4&value=10"), at(6));
    assert_eq!(fourth.decision.transactions.len(), 1);
    let fifth = db.send(&format!("pcid={pcid}&type=sale&external_id=o5&value=10"), at(7));
    assert_eq!(fifth.decision.notes, [Note::RecurrenceLimitReached]);
    assert_eq!(db.number("SELECT made FROM counters"), 4);
    assert_eq!(db.reader().replay().unwrap().differences, []);
}
