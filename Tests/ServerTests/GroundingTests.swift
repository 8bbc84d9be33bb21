import Testing
import Text

@testable import Server

@Suite struct GroundingTests {
    private let sizes = [(width: 1000, height: 500), (width: 200, height: 100)]

    /// The picture and the left edge of each box.
    private func boxes(_ text: String) throws -> [(Int, Double)] {
        guard case .array(let boxes)? = Grounding.boxes(in: text, sizes: sizes) else { return [] }
        return try boxes.map { box in
            guard case .int(let image)? = box["image"] else { throw Missing() }
            return (image, try #require(box["x1"]?.number))
        }
    }

    private struct Missing: Error {}

    @Test(arguments: [
        ("<|box_start|>(100,200),(300,400)<|box_end|>", [1]),
        ("In Picture 1 <|object_ref_start|>a dog<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>", [0]),
        ("Image-1: <ref>dog</ref><box>(100,2),(3,4)</box>, image 2: <box>[[100, 2, 30, 40]]</box>", [0, 1]),
        (
            "Picture 1 has <box>(100,1),(2,2)</box> and <box>(100,1),(2,2)</box>; picture 7 <box>(100,1),(2,2)</box>",
            [0, 0, 1]
        ),
        ("pictures 1 <box>(100,1),(2,2)</box>", [1]), ("no box in (100,200),(300,400)", []),
    ])
    func boxesBelongToThePictureThatIsNamed(_ text: String, _ pictures: [Int]) throws {
        let found = try boxes(text)
        #expect(found.map(\.0) == pictures)
        // In that picture's own pixels.
        for (image, left) in found { #expect(left == Double(sizes[image].width) / 10) }
    }

    @Test func withoutPicturesThereAreNone() {
        #expect(Grounding.boxes(in: "<box>(1,2),(3,4)</box>", sizes: []) == nil)
    }
}
