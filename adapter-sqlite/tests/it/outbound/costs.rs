//! What messages cost: a message shares its pages with others, and where nothing is told nothing is
//! paid.

use counterfoil_core::Method;

use super::*;
use crate::common::{Pages, commit, postback};

/// So many sales in one commit.
fn sell(db: &Db, click: ConversionId, from: u64, sales: u64) {
    let sale = |n| {
        let query = format!("pcid={click}&type=sale&external_id={n:06}&value=10");
        postback(&db.ruleset(), Method::S2s, &query)
    };
    commit(db, (from..from + sales).map(sale).collect());
}

/// Pages written by 12 sales, each alone in its commit (after 16 the log would be copied and begin
/// anew), and by 200 in one commit.
fn pages_of_sales(rules: &str) -> (u64, u64) {
    let (db, click) = begin(rules);
    sell(&db, click, 0, 300);
    let mut pages = Pages::of(&db);
    (300..312).for_each(|n| sell(&db, click, n, 1));
    let alone = pages.written();
    sell(&db, click, 312, 200);
    (alone, pages.written())
}

#[test]
fn a_message_dirties_few_pages() {
    let (plain, plain_200) = pages_of_sales("");
    let (silent, silent_200) = pages_of_sales(&tells("x", "a.example", "types = ['lead']"));
    let (told, told_200) = pages_of_sales(&tells("x", "a.example", ""));
    // The row and its places in two indexes, and now and then a page that was split.
    assert!(told > plain + 24 && told <= plain + 54, "{plain}, {told}");
    assert!(told_200 > plain_200 && told_200 <= plain_200 + 50, "{plain_200}, {told_200}");
    // Random keys split pages now and then.
    assert!(silent <= plain + 10, "{plain}, {silent}");
    assert!(silent_200 <= plain_200 + 10, "{plain_200}, {silent_200}");
}

#[test]
fn the_life_of_messages_that_share_commits_dirties_few_pages() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    sell(&db, click, 0, 500);
    let mut pages = Pages::of(&db);
    let claims = try_claim(&db, wanted(2, 200)).unwrap();
    let claiming = pages.written();
    assert!(claiming <= 60, "{claiming}");
    let ends = claims.iter().map(|claim| Report::Attempted(attempted(claim, 3, Next::Delivered)));
    assert_eq!(report(&db, ends.collect()), 0);
    let reporting = pages.written();
    assert!(reporting <= 60, "{reporting}");
}
