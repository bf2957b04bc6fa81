//! The page of `vgg-train watch`: runs as they train, on this machine alone.
//!
//! A browser also runs other people's pages, and these may send requests to any address. So the server
//! answers nobody who asks for another host than this machine, works for no page but its own, and no
//! file is ever opened by a name from a request: the runs are listed, and the listed names compared.
//!
//! [`server`] has the connections, [`request`] and [`response`] what goes over them, [`routes`] what is
//! answered, from [`watched`] runs, [`pages`] of what was [`looked`] at, and the [`classifier`].

mod classifier;
mod looked;
mod pages;
mod request;
mod response;
mod routes;
mod server;
mod watched;

pub(crate) use classifier::Classifier;
pub(crate) use looked::Looked;
pub(crate) use routes::Routes;
pub(crate) use server::Server;
pub(crate) use watched::Watched;
