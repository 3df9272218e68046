//! The devices of a charger as their wires show them, each from its vendor's document.
