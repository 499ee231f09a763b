//! wal-g with a real PostgreSQL, where there is a wal-g. More of what can go wrong is in `postgres.rs`.

use kheeper_e2e::archiver::WalG;
use kheeper_e2e::matrix::Wire;
use kheeper_e2e::toolbox::Client;

use crate::postgres_cycle::cycle;

#[test]
fn wal_g_does_its_whole_cycle() {
    if let Some(client) = Client::walg() {
        cycle(&client, Wire::Plain, |_| WalG);
        cycle(&client, Wire::Tls, |_| WalG);
    }
}
