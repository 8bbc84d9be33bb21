import Data
import Media
import Testing
import Models

@Suite struct ScoringTests {
    private let marked = "<|object_ref_start|>red circle<|object_ref_end|><|box_start|>(10,20),(300,400)<|box_end|>"

    @Test func boxesAreReadAsWritten() {
        let box = GroundingBox(Rectangle(x: 14, y: 50, width: 28, height: 50), width: 140, height: 200)
        #expect(box == GroundingBox(x1: 100, y1: 250, x2: 300, y2: 500))
        let found = Scoring.boxes(in: box.marked("红色圆形") + "; " + marked)
        #expect(found.map(\.name) == ["红色圆形", "red circle"])
        #expect(found.map(\.box) == [box, GroundingBox(x1: 10, y1: 20, x2: 300, y2: 400)])
        let pixels = box.rectangle(width: 140, height: 200)
        #expect(pixels.intersectionOverUnion(Rectangle(x: 14, y: 50, width: 28, height: 50)) > 0.999999)
    }

    @Test func coordinatesStayBelowAThousand() {
        let box = GroundingBox(Rectangle(x: -3, y: 0, width: 400, height: 200), width: 200, height: 200)
        #expect(box == GroundingBox(x1: 0, y1: 0, x2: 999, y2: 999))
    }

    @Test(arguments: [
        "", "(", "(1,2)", "(1,2),(3", "(1,2),(3,4", "(1000,2),(3,4)", "(a,2),(3,4)", "(,),(,)", "(-1,2),(3,4)",
        "99999999999999999999999999", "(1,2)(3,4)",
    ])
    func brokenBoxesAreNone(answer: String) {
        #expect(Scoring.boxes(in: answer).isEmpty)
    }

    @Test func boxesSurviveMissingMarksAndSpaces() {
        #expect(
            Scoring.boxes(in: "it is at ( 1, 2 ), ( 3 ,4)").map(\.box) == [GroundingBox(x1: 1, y1: 2, x2: 3, y2: 4)])
        #expect(Scoring.boxes(in: "((1,2),(3,4)").count == 1)
    }

    @Test func overlap() {
        let box = GroundingBox(x1: 0, y1: 0, x2: 100, y2: 100)
        #expect(box.intersectionOverUnion(box) == 1)
        #expect(box.intersectionOverUnion(GroundingBox(x1: 50, y1: 0, x2: 150, y2: 100)) == 1.0 / 3)
        #expect(box.intersectionOverUnion(GroundingBox(x1: 100, y1: 0, x2: 200, y2: 100)) == 0)
        #expect(box.intersectionOverUnion(GroundingBox(x1: 100, y1: 100, x2: 0, y2: 0)) == 0)
        #expect(GroundingBox(x1: 5, y1: 5, x2: 5, y2: 5).intersectionOverUnion(box) == 0)
    }

    @Test func characterErrors() {
        #expect(Scoring.editDistance("kitten", "sitting") == 3)
        #expect(Scoring.editDistance("", "abc") == 3)
        #expect(Scoring.editDistance("图中", "图") == 1)
        var rate = CharacterErrorRate()
        #expect(rate.value == 0)
        rate.add(prediction: "helo", truth: "hello")
        rate.add(prediction: "world", truth: "world")
        #expect(rate.value == 0.1)
    }

    @Test func answersAreJudgedByTask() {
        #expect(Scoring.isCorrect(" 7.\n", "7", task: .count))
        #expect(!Scoring.isCorrect("17", "7", task: .count))
        #expect(Scoring.isCorrect("A: 3; B: 4", "A: 3; B: 4", task: .describe))
        #expect(!Scoring.isCorrect("A: 3; B: 5", "A: 3; B: 4", task: .describe))
        #expect(Scoring.isCorrect("(15,25),(300,400)", marked, task: .box))
        #expect(!Scoring.isCorrect("(500,500),(900,900)", marked, task: .box))
        #expect(!Scoring.isCorrect(marked + "; " + marked, marked, task: .describe), "a box too many")
        let renamed = marked.replacing("red", with: "blue")
        #expect(!Scoring.isCorrect(renamed, marked, task: .describe))
    }
}
