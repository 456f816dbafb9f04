//! What a function needs to send to a cloud's own queue, behind xcloud's feature `bindings`: names looked up, TLS, signed
//! requests. The only crate of the light half with TLS in its tree; a room's wire needs none of it.

pub mod aws;
mod dns;
#[cfg(test)]
mod fake;
mod https;
mod md5;
mod origin;
mod random;
mod tls;
