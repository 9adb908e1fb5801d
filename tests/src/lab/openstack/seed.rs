//! What a site begins with, told to it by REST: flavors and images.

use serde_json::json;

use super::ask::{Api, Ask};
use super::plan::Image;
use super::site::Site;

/// Name, cores, MiB of memory. Nobody has room for the last.
const FLAVORS: [(&str, u32, u32); 3] = [("tiny", 1, 64), ("small", 2, 128), ("vast", 900_000, 64)];

impl Site {
    pub(super) fn seed(&self) -> anyhow::Result<()> {
        let token = self.token("admin")?;
        for (name, cores, memory) in FLAVORS {
            let flavor = json!({"id": name, "name": name, "vcpus": cores, "ram": memory, "disk": 1});
            self.need(Api::Nova, &Ask::post("/v2.1/flavors", &json!({ "flavor": flavor })).token(&token))?;
        }
        self.plan().images.iter().try_for_each(|image| self.upload(image).map(drop))
    }

    /// Puts an image into this site's own Glance; its id.
    pub fn upload(&self, image: &Image) -> anyhow::Result<String> {
        let token = self.token(if image.visibility == "public" { "admin" } else { "demo" })?;
        let about = json!({
            "name": image.name, "disk_format": "raw", "container_format": "bare", "visibility": image.visibility,
        });
        let made = self.need(Api::Glance, &Ask::post("/v2/images", &about).token(&token))?;
        let id = made["id"].as_str().unwrap_or_default().to_owned();
        let put = Ask::new("PUT", &format!("/v2/images/{id}/file")).header("Content-Type", "application/octet-stream");
        self.need(Api::Glance, &put.token(&token).body(image.bytes.clone()))?;
        Ok(id)
    }
}
