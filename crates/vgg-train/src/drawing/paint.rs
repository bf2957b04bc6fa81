//! The colours of what is no data.

/// A colour on white, and the class by which `dark.css` gives it another one on dark pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub class: &'static str,
    pub colour: &'static str,
}

pub(super) const TEXT: Paint = Paint { class: "text", colour: "#1f2328" };
/// Of text that counts less.
pub(super) const FAINT: Paint = Paint { class: "faint", colour: "#57606a" };
pub(super) const AXIS: Paint = Paint { class: "axis", colour: "#8c959f" };
pub(super) const GRID: Paint = Paint { class: "grid", colour: "#e7e9ec" };
/// Of what data are seen against.
pub(super) const GUIDE: Paint = Paint { class: "guide", colour: "#6e7781" };
