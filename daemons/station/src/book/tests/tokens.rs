//! Whose a transaction is.

use super::*;

#[tokio::test]
async fn tokens_leave_the_book_masked() {
    let (_folder, book) = book();
    book.begin(new(1, 100)).await.unwrap();
    let newest = book.newest(10).await.unwrap();
    assert!(!newest[0].identity.contains("04A1B2"), "{}", newest[0].identity);
    assert_eq!(book.open_transactions().await.unwrap()[0].payer.token, Some(token()));
}

#[tokio::test]
async fn a_customers_transactions_are_found_by_the_token_alone_newest_first() {
    let (_folder, book) = book();
    let other = Token::parse("04A1B2C3").unwrap();
    let mine = book.begin(new(1, 100)).await.unwrap();
    book.close(mine, closing(Some(600))).await.unwrap();
    for (evse, token) in [(2, Some(other.clone())), (3, None), (4, Some(token()))] {
        book.begin(NewTransaction { token, ..new(evse, 100) }).await.unwrap();
    }
    let asked = Token::parse("04a1b2c3d4").unwrap();
    let of_mine = book.transactions_of(asked.clone(), 10).await.unwrap();
    let told: Vec<_> = of_mine.iter().map(|it| (it.evse, it.state.as_str(), it.energy)).collect();
    assert_eq!(told, [(4, "open", 0.0), (1, "closed", 500.0)]);
    assert_eq!(book.transactions_of(asked, 1).await.unwrap().len(), 1, "no more than are asked for");
    assert_eq!(book.transactions_of(other, 10).await.unwrap().len(), 1);
}
