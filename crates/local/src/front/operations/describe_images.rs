//! DescribeImages: the emulator forgets the block device mapping, boot mode and sizes that an image was registered with.

use crate::images::Images;

/// Puts what was registered into the emulator's answer, image by image.
pub fn complete(answer: &str, images: &Images) -> String {
    let mut out = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(at) = rest.find("<imageId>") {
        let after = at + "<imageId>".len();
        let Some(end) = rest[after..].find("</imageId>") else { break };
        let id = &rest[after..after + end];
        out.push_str(&rest[..after + end + "</imageId>".len()]);
        rest = &rest[after + end + "</imageId>".len()..];
        let Some(image) = images.by_ami(id) else { continue };
        // The next image begins with its own <imageId>; what lies before it is this one's.
        let reach = rest.find("<imageId>").unwrap_or(rest.len());
        let mut item = rest[..reach].to_owned();
        for (element, value) in [
            ("rootDeviceName", image.root_device_name.clone()),
            ("rootDeviceType", "ebs".to_owned()),
            ("virtualizationType", "hvm".to_owned()),
            ("architecture", "x86_64".to_owned()),
        ] {
            item = replace_element(&item, element, &value);
        }
        let mapping = format!(
            "<item><deviceName>{}</deviceName><ebs><volumeSize>{}</volumeSize><deleteOnTermination>true</deleteOnTermination><volumeType>gp3</volumeType></ebs></item>",
            image.root_device_name, image.gib
        );
        item = replace_element(&item, "blockDeviceMapping", &mapping);
        out.push_str(&item);
        rest = &rest[reach..];
    }
    out.push_str(rest);
    out
}

/// Replaces the content of the first such element; leaves the text alone when there is none.
fn replace_element(text: &str, element: &str, content: &str) -> String {
    let (open, close, empty) = (format!("<{element}>"), format!("</{element}>"), format!("<{element}/>"));
    let whole = format!("{open}{content}{close}");
    match (text.find(&open), text.find(&close)) {
        (Some(start), Some(end)) if start < end => format!("{}{whole}{}", &text[..start], &text[end + close.len()..]),
        _ => text.replacen(&empty, &whole, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Image;

    #[test]
    fn only_registered_images_are_completed() {
        let images = Images {
            images: vec![Image {
                ami: "ami-1".to_owned(),
                name: "node".to_owned(),
                disk: "/x/disk.raw".into(),
                root_device_name: "/dev/xvda".to_owned(),
                gib: 3,
            }],
        };
        let answer = "<imagesSet><item><imageId>ami-1</imageId><rootDeviceName>/dev/sda1</rootDeviceName><blockDeviceMapping/></item>\
                      <item><imageId>ami-2</imageId><rootDeviceName>/dev/sda1</rootDeviceName></item></imagesSet>";
        assert_eq!(
            complete(answer, &images),
            "<imagesSet><item><imageId>ami-1</imageId><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeSize>3</volumeSize><deleteOnTermination>true</deleteOnTermination><volumeType>gp3</volumeType></ebs></item></blockDeviceMapping></item>\
             <item><imageId>ami-2</imageId><rootDeviceName>/dev/sda1</rootDeviceName></item></imagesSet>"
        );
    }
}
