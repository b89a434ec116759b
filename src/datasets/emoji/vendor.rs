//! The vendors that drew the pictures.

/// The vendor that drew a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    Noto,
    Fluent3d,
    FluentFlat,
    FluentHighContrast,
    EmojiTwo,
    Blob,
    FxEmoji,
    Twemoji,
}

impl Vendor {
    /// All eight vendors, in the order of the enum.
    pub const ALL: [Vendor; 8] = [
        Vendor::Noto,
        Vendor::Fluent3d,
        Vendor::FluentFlat,
        Vendor::FluentHighContrast,
        Vendor::EmojiTwo,
        Vendor::Blob,
        Vendor::FxEmoji,
        Vendor::Twemoji,
    ];
    /// The vendor that is never trained on.
    pub(crate) const HELD_OUT: Vendor = Vendor::Twemoji;

    /// Whether two vendors' pictures are one drawing in several renderings, as a vendor's own are.
    pub(crate) fn is_kin(self, other: Vendor) -> bool {
        let is_fluent = |vendor| matches!(vendor, Vendor::Fluent3d | Vendor::FluentFlat | Vendor::FluentHighContrast);
        self == other || is_fluent(self) && is_fluent(other)
    }

    /// Returns the vendor's name, as the data files are called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Vendor::Noto => "noto",
            Vendor::Fluent3d => "fluent3d",
            Vendor::FluentFlat => "fluentflat",
            Vendor::FluentHighContrast => "fluenthc",
            Vendor::EmojiTwo => "emojitwo",
            Vendor::Blob => "blob",
            Vendor::FxEmoji => "fxemoji",
            Vendor::Twemoji => "twemoji",
        }
    }
}
