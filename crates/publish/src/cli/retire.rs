//! `image retire`: what goes is shown first, and what could not go is told at the end.

use anyhow::bail;
use futuswarm_output::{eprintln, println};
use futuswarm_publish::retire::{self, Listed};
use serde_json::json;

use super::Retire;

impl Retire {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (mut retired, mut failures): (Vec<Listed>, Vec<String>) = (Vec::new(), Vec::new());
        for clients in self.target.connect().await? {
            let mut images = retire::list(&clients, &self.family).await?;
            let orphans = retire::orphans(&clients, &self.family, &images).await?;
            if !self.shared {
                retire::note_shares(&clients, &mut images, self.keep).await?;
            }
            let going = retire::choose(&images, self.keep);
            for image in &images {
                let fate = match going.contains(&image) {
                    true => "goes ",
                    false => "stays",
                };
                let why =
                    if image.in_use.is_empty() { String::new() } else { format!("  {}", image.in_use.join(", ")) };
                eprintln!("{fate}  {}  {}  {}{why}", image.region, image.image_id, image.name);
            }
            for orphan in &orphans {
                eprintln!("goes   {}  {orphan}  a snapshot without an image", clients.region);
            }
            if !self.yes {
                retired.extend(going.into_iter().cloned());
                continue;
            }
            let outcome = retire::retire(&clients, &images, &going, &orphans).await;
            for kept in &outcome.kept {
                eprintln!("kept   {kept}");
            }
            retired.extend(going.into_iter().filter(|image| outcome.retired.contains(&image.image_id)).cloned());
            failures.extend(outcome.failures);
        }
        match self.yes {
            true => eprintln!("{} image(s) retired", retired.len()),
            false => eprintln!("{} image(s) would be retired; pass --yes to do it", retired.len()),
        }
        if self.target.json {
            let answer = json!({ "done": self.yes, "images": retired, "failures": failures });
            println!("{}", serde_json::to_string_pretty(&answer)?);
        }
        for failure in &failures {
            eprintln!("failed {failure}");
        }
        if !failures.is_empty() {
            bail!(
                "{} resource(s) could not be retired, see above; repeat, and what is left is tried again",
                failures.len()
            );
        }
        Ok(())
    }
}
