//! What a site's OpenStack is to be.

/// How Nova's services talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// One process has all of them.
    Fake,
    /// Four processes over a broker of the site's own.
    Rabbit,
}

/// An image that a site's Glance begins with.
#[derive(Clone, Debug)]
pub struct Image {
    pub name: String,
    pub bytes: Vec<u8>,
    /// `public`, `private`, `shared` or `community`; private ones are the ordinary member's.
    pub visibility: &'static str,
}

impl Image {
    /// A public image whose bytes are this text, over and over.
    pub fn public(name: &str, text: &str, length: usize) -> Self {
        let bytes = text.bytes().cycle().take(length).collect();
        Self { name: name.to_owned(), bytes, visibility: "public" }
    }

    /// The same, seen by the ordinary member's project alone.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.visibility = "private";
        self
    }
}

/// One site's OpenStack.
#[derive(Clone, Debug)]
pub struct SitePlan {
    pub bus: Bus,
    /// Seconds for which services believe a token without asking Keystone again.
    pub token_cache: i32,
    /// Seconds for which a token is valid.
    pub token_life: u32,
    /// Whether Nova's compute service sends its own token along with the user's.
    pub service_tokens: bool,
    /// How many servers, and cores, a project may have.
    pub instances: u32,
    /// A further host with a compute service of its own; needs [`Bus::Rabbit`].
    pub second: bool,
    pub images: Vec<Image>,
}

impl Default for SitePlan {
    fn default() -> Self {
        let images = Vec::new();
        Self {
            bus: Bus::Fake,
            token_cache: 300,
            token_life: 3600,
            service_tokens: false,
            instances: 1000,
            second: false,
            images,
        }
    }
}
