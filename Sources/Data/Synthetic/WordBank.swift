import Media

/// What is written in pictures: words, words that do not exist, numbers and codes of 3 to 12 characters.
///
/// Signs that look alike in some fonts (O and 0, I and l and 1) never stand where only knowledge of the font would tell
/// them apart: codes leave them out, words and numbers have their own alphabets.
enum WordBank {
    /// - Parameter longest: the most characters that fit, at least 3.
    static func line(longest: Int, using generator: inout SeededGenerator) -> String {
        for _ in 0..<20 {
            let text: String
            switch generator.index(weights: [3, 3, 2, 2, 1]) {
            case 0: text = cased(generator.element(of: words), using: &generator)
            case 1: text = cased(invented(using: &generator), using: &generator)
            case 2: text = number(using: &generator)
            case 3: text = code(using: &generator)
            default:
                let parts = (0..<2).map { _ in generator.element(of: words) }
                text = cased(parts.joined(separator: " "), using: &generator)
            }
            if (3...longest).contains(text.count) { return text }
        }
        return String(generator.integer(100...999))
    }

    private static func cased(_ word: String, using generator: inout SeededGenerator) -> String {
        switch generator.integer(0...2) {
        case 0: return word.uppercased()
        case 1: return word.prefix(1).uppercased() + word.dropFirst()
        default:
            // Without tall letters nothing tells small from capital.
            return word.allSatisfy { "cosuvwxz ".contains($0) } ? word.uppercased() : word
        }
    }

    private static func invented(using generator: inout SeededGenerator) -> String {
        let onsets = [
            "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s", "t", "v", "w", "x", "y", "z",
            "br", "cl", "dr", "fl", "gr", "pl", "sh", "st", "th", "tr",
        ]
        let vowels = ["a", "e", "i", "o", "u", "ai", "ea", "oo", "ou"]
        let codas = ["", "", "", "b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "ck", "ng", "nd"]
        var word = ""
        for _ in 0..<generator.integer(1...4) {
            word += generator.element(of: onsets) + generator.element(of: vowels) + generator.element(of: codas)
        }
        return word
    }

    private static func number(using generator: inout SeededGenerator) -> String {
        func digits(_ count: ClosedRange<Int>) -> String {
            (0..<generator.integer(count)).map { _ in String(generator.integer(0...9)) }.joined()
        }
        func two(_ range: ClosedRange<Int>) -> String {
            let number = generator.integer(range)
            return number < 10 ? "0\(number)" : String(number)
        }
        switch generator.integer(0...7) {
        case 0, 1: return digits(3...9)
        case 2: return "\(generator.integer(0...999)).\(digits(1...3))"
        case 3: return "\(two(0...23)):\(two(0...59))"
        case 4: return "\(generator.integer(1950...2039))-\(two(1...12))-\(two(1...28))"
        case 5: return "$\(generator.integer(1...9999))"
        case 6: return "\(generator.integer(10...100))%"
        default: return "\(generator.integer(1...12))/\(generator.integer(1950...2039))"
        }
    }

    private static func code(using generator: inout SeededGenerator) -> String {
        let capitals = Array("ABCDEFGHJKLMNPQRSTUVWXYZ")
        let small = Array("abdefghijkmnpqrty")
        let digits = Array("23456789")
        func run(_ alphabet: [Character], _ count: ClosedRange<Int>) -> String {
            String((0..<generator.integer(count)).map { _ in generator.element(of: alphabet) })
        }
        switch generator.integer(0...4) {
        case 0: return run(capitals, 2...4) + "-" + run(digits, 2...5)
        case 1: return run(capitals + digits, 4...10)
        case 2: return run(small + digits, 4...10)
        case 3: return "#" + run(digits + Array("ABCDEF"), 4...6)
        default: return run(capitals, 1...3) + run(digits, 2...4) + run(capitals, 1...2)
        }
    }

    /// Labels for the bars of a chart; each list has more than the most bars.
    static let labels: [[String]] = [
        ["A", "B", "C", "D", "E", "F", "G", "H", "K", "M", "N", "P", "R", "S", "T", "X", "Y", "Z"],
        ["cat", "dog", "cow", "pig", "hen", "fox", "owl", "bee", "ant", "bat"],
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
        ["tea", "milk", "rice", "egg", "corn", "nut", "fig", "pear", "lime", "plum"],
        ["Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8"],
    ]

    private static let words = """
        able acid army atom away baby back ball band bank base bath bear beat bell belt bird blue boat body bone book
        bowl bread brick bridge bright bring brown brush build cabin cable cake call camera camp card care cart case
        castle chair chalk cheese cherry child circle city clean clear climb clock cloud coast coffee coin cold color
        copper corner cotton cover cream cross crowd cycle dance danger dark date dawn deep desert desk dinner doctor
        door dragon dream dress drink drive dust early earth east edge eight engine equal event exit eye factor family
        farm fast father field fifty figure final finger fire first fish flag flight floor flower fly follow food
        forest form forty forward fresh friend frog fruit future garden gate giant gift glass globe gold grass green
        ground group grow guide guitar hair hammer hand happy harbor hat heart heavy height help hill honey hope horse
        hotel hour house human ice idea inch iron island jacket jazz jelly join joke juice jump jungle just keep kettle
        key kick kind king kitchen kite knee knife lake lamp large laser leaf lemon letter level light lime lion liquid
        list little local long lucky lunch magic mail major maple market master match maze meal medal metal middle
        might minor mirror model money month moon morning mother motor mountain mouse museum music narrow nature needle
        night nine noble north number ocean office often olive onion open orange orbit other oven owner oxygen page
        paint palace paper park party pencil pepper phone piano picture pilot pizza planet plant plaza pocket point
        police pony power price prime print prize puzzle quality queen quick quiet quiz rabbit radio rail rain rapid
        ready record red report rest rhythm rice ride ring river road robot rock roof room rose round royal rubber
        sail salad salt sand school science sea second seven shadow shape sharp sheep shelf ship shirt shop silver
        simple sister six skill sky smile snow soap soft solar song sound south space spark speed spoon sport spring
        square stage star station steel stone storm story street strong sugar summer sun sweet swift table taxi team
        tennis ten tiger time title today tomato tower town toy track train travel tree truck turbo under union unit
        valley value van vector velvet video view violet visit voice wagon walk wall warm watch water wave west wheel
        white wide window winter wise wolf wonder wood word world yard year yellow young zebra zero zone
        """.split { $0 == " " || $0 == "\n" }.map(String.init)
}
