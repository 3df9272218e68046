//! The D-Bus contract: names, wire types, proxies, errors.
