//! The pictures of the states: our own drawings, in the colour of the text beside them.

use maud::{Markup, html};

use crate::face::Face;

/// The circumference that a ring is told to have, so that a percentage is a length.
const RING: f64 = 100.0;

/// The picture of a state. It says nothing that the words beside it do not.
pub(super) fn picture(face: &Face) -> Markup {
    let drawing = match face {
        Face::Free | Face::PlugIn => plug(),
        Face::Reserved => clock(),
        Face::Authorize | Face::Preparing { card: true, .. } => card(),
        Face::Preparing { .. } | Face::Starting | Face::Stopping(_) => hourglass(),
        Face::Charging(flow) => return ring(flow.soc, &bolt()),
        Face::Paused { flow, .. } => return ring(flow.soc, &pause()),
        Face::Finished(_) => tick(),
        Face::Fault { .. } => warning(),
        Face::OutOfService => bar(),
        Face::Away | Face::Absent(_) => question(),
    };
    html! { svg.picture viewBox="0 0 120 120" aria-hidden="true" focusable="false" { (drawing) } }
}

/// A ring that is filled as far as the battery is, with a drawing or the percentage inside.
fn ring(soc: Option<f64>, inside: &Markup) -> Markup {
    html! {
        svg.picture.ring viewBox="0 0 120 120" aria-hidden="true" focusable="false" {
            circle.track cx="60" cy="60" r="52" {}
            @if let Some(soc) = soc {
                circle.filled cx="60" cy="60" r="52" pathLength=(RING) transform="rotate(-90 60 60)"
                    stroke-dasharray=(format!("{:.1} {RING}", soc.clamp(0.0, RING))) {}
                g transform="translate(38 12) scale(.36)" { (inside) }
                text x="60" y="80" text-anchor="middle" { (format!("{soc:.0}")) tspan.unit { "%" } }
            } @else {
                g transform="translate(24 24) scale(.6)" { (inside) }
            }
        }
    }
}

fn plug() -> Markup {
    html! {
        path d="M44 16v26M76 16v26M32 42h56v14a28 28 0 0 1-56 0z" {}
        path d="M60 84v8c0 12 18 8 18 18" {}
    }
}

fn bolt() -> Markup {
    html! { path.solid d="M68 8 26 70h26l-8 42 46-64H62z" {} }
}

fn pause() -> Markup {
    html! { path d="M44 28v64M76 28v64" {} }
}

fn card() -> Markup {
    html! {
        rect x="14" y="40" width="62" height="44" rx="8" {}
        path d="M14 56h62M26 70h14" {}
        path d="M88 44c8 10 8 26 0 36M98 34c14 16 14 40 0 56" {}
    }
}

fn clock() -> Markup {
    html! { circle cx="60" cy="60" r="46" {} path d="M60 32v30l20 12" {} }
}

fn hourglass() -> Markup {
    html! { path d="M34 14h52M34 106h52M40 14c0 26 40 26 40 46s-40 20-40 46M80 14c0 26-40 26-40 46s40 20 40 46" {} }
}

fn tick() -> Markup {
    html! { circle cx="60" cy="60" r="46" {} path d="m38 62 16 16 30-34" {} }
}

fn warning() -> Markup {
    html! { path d="M60 14 110 102H10zM60 46v26" {} circle.solid cx="60" cy="87" r="4" {} }
}

fn bar() -> Markup {
    html! { circle cx="60" cy="60" r="46" {} path d="M34 60h52" {} }
}

fn question() -> Markup {
    html! {
        circle cx="60" cy="60" r="46" {}
        path d="M46 48c0-18 28-18 28-2 0 12-14 10-14 24" {}
        circle.solid cx="60" cy="86" r="4" {}
    }
}
