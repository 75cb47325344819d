//! XML as a tree: answers of the emulator that are completed, and answers of our own. Text is escaped where a tree is written, and
//! nowhere else.

use bytes::Bytes;
use xml::EventReader;
use xml::reader::XmlEvent;
pub use xmltree::Element;
use xmltree::{EmitterConfig, Namespace, ParserConfig, XMLNode};

/// Elements within elements of one document; the deepest of AWS have a dozen. A tree is built and dropped by calls within calls.
const DEEPEST: usize = 100;

/// Why a document is not read.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is not well-formed.
    #[error(transparent)]
    Malformed(#[from] xmltree::ParseError),
    /// It has more than [`DEEPEST`] elements within each other.
    #[error("it has more than {DEEPEST} elements within each other")]
    Deep,
}

/// A document's root element.
///
/// # Errors
/// When it is not well-formed, or too deep.
pub fn parse(bytes: &[u8]) -> Result<Element, ParseError> {
    let mut depth: usize = 0;
    for event in EventReader::new(bytes) {
        match event {
            Ok(XmlEvent::StartElement { .. }) => depth += 1,
            Ok(XmlEvent::EndElement { .. }) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            Err(error) => return Err(xmltree::ParseError::MalformedXml(error).into()),
        }
        if depth > DEEPEST {
            return Err(ParseError::Deep);
        }
    }
    // A value may be a space, and is not to be lost.
    let config = ParserConfig::new().whitespace_to_characters(true).cdata_to_characters(true).ignore_comments(true);
    Ok(Element::parse_with_config(bytes, config)?)
}

/// An element as a document.
pub fn write(root: &Element) -> String {
    let config = EmitterConfig::new().write_document_declaration(false).perform_indent(false).pad_self_closing(false);
    let mut out = Vec::new();
    if let Err(error) = root.write_with_config(&mut out, config) {
        // Only for a name that is none, and names are the emulator's or ours.
        tracing::warn!(%error, element = root.name, "an answer cannot be written");
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A document with a change. One that is not well-formed stays as it is.
pub fn change(document: Bytes, change: impl FnOnce(&mut Element)) -> Bytes {
    match parse(&document) {
        Ok(mut root) => {
            change(&mut root);
            write(&root).into()
        }
        Err(error) => {
            tracing::debug!(%error, "an answer of the emulator is no XML, and is not completed");
            document
        }
    }
}

/// An element with text.
pub fn leaf(name: &str, text: impl Into<String>) -> Element {
    let mut element = Element::new(name);
    element.children.push(XMLNode::Text(text.into()));
    element
}

/// An element with elements.
pub fn node(name: &str, children: impl IntoIterator<Item = Element>) -> Element {
    let mut element = Element::new(name);
    element.children.extend(children.into_iter().map(XMLNode::Element));
    element
}

/// The same element as the root of a document of this namespace.
pub fn in_namespace(mut root: Element, uri: &str) -> Element {
    let mut namespaces = Namespace::empty();
    namespaces.put("", uri);
    (root.namespace, root.namespaces) = (Some(uri.to_owned()), Some(namespaces));
    root
}

/// The elements directly below an element.
pub fn children(element: &Element) -> impl Iterator<Item = &Element> {
    element.children.iter().filter_map(XMLNode::as_element)
}

/// The same, to be changed.
pub fn children_mut(element: &mut Element) -> impl Iterator<Item = &mut Element> {
    element.children.iter_mut().filter_map(XMLNode::as_mut_element)
}

/// Adds an element as the last one.
pub fn push(element: &mut Element, child: Element) {
    element.children.push(XMLNode::Element(child));
}

/// Keeps those of the elements directly below an element that are to be kept.
pub fn retain(element: &mut Element, mut keep: impl FnMut(&Element) -> bool) {
    element.children.retain(|child| child.as_element().is_none_or(&mut keep));
}

/// Sets the child of this name: replaces the first one, or adds it as the last.
pub fn set(element: &mut Element, child: Element) {
    match element.get_mut_child(child.name.as_str()) {
        Some(there) => *there = child,
        None => push(element, child),
    }
}

/// The text of the child of this name; empty when it has none.
pub fn text(element: &Element, child: &str) -> Option<String> {
    element.get_child(child).map(|child| child.get_text().unwrap_or_default().into_owned())
}

/// The first element of this name, the element itself and everything below it, in the order of the document.
pub fn find<'a>(element: &'a Element, name: &str) -> Option<&'a Element> {
    if element.name == name {
        return Some(element);
    }
    children(element).find_map(|child| find(child, name))
}

/// The same, to be changed.
pub fn find_mut<'a>(element: &'a mut Element, name: &str) -> Option<&'a mut Element> {
    if element.name == name {
        return Some(element);
    }
    children_mut(element).find_map(|child| find_mut(child, name))
}

/// The text of the first element of this name.
pub fn find_text(element: &Element, name: &str) -> Option<String> {
    find(element, name).map(|found| found.get_text().unwrap_or_default().into_owned())
}

/// Visits every element of this name, those inside of others of the name last.
pub fn visit(element: &mut Element, name: &str, visitor: &mut dyn FnMut(&mut Element)) {
    if element.name == name {
        visitor(element);
    }
    for child in children_mut(element) {
        visit(child, name, visitor);
    }
}

/// The entries of the first list of this name: `<item>`s or `<member>`s directly below it.
pub fn entries_mut<'a>(root: &'a mut Element, list: &str) -> impl Iterator<Item = &'a mut Element> {
    find_mut(root, list).into_iter().flat_map(children_mut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Element {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn elements_of_one_name_are_told_apart_by_their_place() {
        // As DescribeVolumes answers: the status of an attachment is not that of the volume.
        let volumes = "<R><volumeSet><item><attachmentSet><item><status>attached</status></item></attachmentSet>\
                       <volumeId>vol-1</volumeId><status>in-use</status></item></volumeSet></R>";
        let mut changed = root(volumes);
        for volume in entries_mut(&mut changed, "volumeSet") {
            assert_eq!(text(volume, "status").as_deref(), Some("in-use"));
            set(volume, leaf("status", "error"));
        }
        assert_eq!(write(&changed), volumes.replace("in-use", "error"));
    }

    #[test]
    fn an_element_is_replaced_filled_or_added() {
        for (before, after) in [
            ("<item><a>1</a></item>", "<item><a>2</a></item>"),
            ("<item><a /></item>", "<item><a>2</a></item>"),
            ("<item/>", "<item><a>2</a></item>"),
            ("<item><b>1</b></item>", "<item><b>1</b><a>2</a></item>"),
        ] {
            let mut element = root(before);
            set(&mut element, leaf("a", "2"));
            assert_eq!(write(&element), after);
        }
    }

    #[test]
    fn a_document_is_written_as_it_was_read() {
        for document in [
            "<R xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><set><item><v>a &amp; b &lt;c&gt;</v></item></set></R>",
            "<R><v> </v><w>a\n b</w><e /></R>",
        ] {
            let written = write(&root(document));
            assert_eq!(root(&written), root(document));
            assert_eq!(written.matches("xmlns").count(), document.matches("xmlns").count(), "{written}");
        }
        assert_eq!(text(&root("<R><v> </v></R>"), "v").as_deref(), Some(" "));
        let made = write(&in_namespace(node("R", [leaf("v", "<&>")]), "http://x/"));
        assert_eq!(made.matches("xmlns=\"http://x/\"").count(), 1, "{made}");
        assert_eq!(text(&root(&made), "v").as_deref(), Some("<&>"));
        assert_eq!(change(Bytes::from_static(b"{}"), |_| unreachable!()), "{}");
    }

    #[test]
    fn a_document_that_is_too_deep_is_refused_before_a_tree_is_built() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(parse(nested(DEEPEST).as_bytes()).is_ok());
        assert!(matches!(parse(nested(DEEPEST + 1).as_bytes()), Err(ParseError::Deep)));
        // Half a million calls within each other would end the process.
        assert!(matches!(parse("<a>".repeat(500_000).as_bytes()), Err(ParseError::Deep)));
        let answer = Bytes::from(nested(DEEPEST + 1));
        assert_eq!(change(answer.clone(), |_| panic!("it is not read")), answer);
    }
}
