import Media
import Models
import Testing

@Suite struct GroundedRegionTests {
    @Test(arguments: GroundingStyle.allCases) func eachStyleIsReadAsWritten(_ style: GroundingStyle) {
        let first = GroundingBox(x1: 1, y1: 22, x2: 333, y2: 999), second = GroundingBox(x1: 0, y1: 0, x2: 5, y2: 6)
        let answer =
            "I see " + style.text(name: "a cat (old)", box: first) + " and " + style.text(name: "猫", box: second)
        #expect(
            GroundedRegion.all(in: answer) == [
                GroundedRegion(name: "a cat (old)", shape: .box(first)), GroundedRegion(name: "猫", shape: .box(second)),
            ])
    }

    @Test func aNameHoldsForAllItsBoxes() {
        let two = GroundedRegion.all(in: "<ref>dogs</ref><box>(1,2),(3,4)</box><box>(5,6),(7,8)</box> (9,9),(10,10)")
        #expect(two.map(\.name) == ["dogs", "dogs", "dogs"])
        let listed = GroundedRegion.all(
            in: "<ref>dogs</ref><box>[[1, 2, 3, 4], [5, 6, 7, 1000]]</box>, then (9,9),(10,10)")
        #expect(listed.map(\.name) == ["dogs", "dogs", nil])
        #expect(listed[1].shape == .box(GroundingBox(x1: 5, y1: 6, x2: 7, y2: 1000)))
    }

    @Test func quadsAndPoints() {
        let answer = "<ref>EXIT</ref><quad>(1,2),(30,4),(29,16),(0,14)</quad><|box_start|>(500,250)<|box_end|>"
        let regions = GroundedRegion.all(in: answer)
        #expect(regions[0] == GroundedRegion(name: "EXIT", shape: .quad([[1, 2], [30, 4], [29, 16], [0, 14]])))
        #expect(regions[1].shape == .point([500, 250]))
        #expect(regions[1].corners(width: 200, height: 400) == [Point(100, 100)])
        #expect(regions[0].bounds(width: 1000, height: 1000) == Rectangle(x: 0, y: 2, width: 30, height: 14))
    }

    @Test(arguments: [
        "", "<box>", "<box>(1,2", "<quad>(1,2),(3,4),(5,6)</quad>", "f(1,2) = 3", "[1, 2, 3, 4]",
        "<box>[[1,2,3]]</box>",
        "<ref>x", "</ref>", "(2000,1),(3,4)", "<|box_start|>(,)<|box_end|>", "[[1,2],[3,4]]",
    ])
    func whatIsBrokenIsPassedOver(_ answer: String) { #expect(GroundedRegion.all(in: answer).isEmpty) }

    @Test func placesAreCutAtTheEdges() {
        let region = GroundedRegion(name: nil, shape: .box(GroundingBox(x1: 500, y1: 0, x2: 1000, y2: 1000)))
        #expect(region.bounds(width: 30, height: 20) == Rectangle(x: 15, y: 0, width: 15, height: 20))
    }

    @Test func namesAndOutlinesAreDrawn() throws {
        let picture = Image(width: 120, height: 80, red: 128, green: 128, blue: 128)
        let box = GroundingBox(x1: 250, y1: 500, x2: 750, y2: 900)
        let regions = [
            GroundedRegion(name: "cat", shape: .box(box)), GroundedRegion(name: "\u{10FFFF}\n", shape: .point([0, 0])),
            GroundedRegion(name: nil, shape: .quad([[0, 0], [990, 0], [990, 990], [0, 990]])),
        ]
        let drawn = try picture.drawing(regions)
        #expect(drawn.width == 120 && drawn.height == 80)
        func isTouched(_ x: Int, _ y: Int) -> Bool {
            drawn.pixels[(y * 120 + x) * 3] != 128 || drawn.pixels[(y * 120 + x) * 3 + 2] != 128
        }
        #expect(isTouched(30, 60) && isTouched(90, 60) && isTouched(60, 40) && isTouched(60, 72))
        #expect(!isTouched(60, 60))
        // The label stands above the box.
        #expect(isTouched(33, 34))
    }
}
