//! The proxy between a real client connection and a small server in this process: what each side sees.

mod answers;
mod client;
mod deadlines;
mod documents;
mod downloads;
mod local_guard;
mod running;
mod scripted;
mod smuggling;
mod tls;
mod tokens;
mod uploads;
mod upstream;
