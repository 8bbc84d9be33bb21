import Media

/// Several ways to ask one thing, in both languages. `{0}` and `{1}` stand for what is asked about.
struct Phrases: Sendable {
    let english: [String]
    let chinese: [String]

    func ask(_ language: SyntheticLanguage, _ names: [String] = [], using generator: inout SeededGenerator) -> String {
        let template = generator.element(of: language == .english ? english : chinese)
        guard !names.isEmpty else { return template }
        var result = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}"),
            let number = Int(rest[rest.index(after: open)..<close]), names.indices.contains(number)
        {
            result += rest[..<open] + names[number]
            rest = rest[rest.index(after: close)...]
        }
        return result + rest
    }

    // MARK: - scenes

    static let countAll = Phrases(
        english: [
            "How many objects are there?", "How many shapes are in the picture?", "Count all the objects.",
        ],
        chinese: ["图中有几个物体？", "一共有多少个图形？", "请数一数所有物体。"])
    static let count = Phrases(
        english: ["How many {0} are there?", "How many {0} are in the picture?", "Count the {0}."],
        chinese: ["图中有几个{0}？", "有多少个{0}？", "请数一数{0}。"])
    static let color = Phrases(
        english: ["What color is the {0}?", "What is the color of the {0}?", "Name the color of the {0}."],
        chinese: ["{0}是什么颜色？", "图中的{0}是什么颜色的？", "请说出{0}的颜色。"])
    static let shape = Phrases(
        english: ["What shape is the {0} object?", "What is the shape of the {0} object?", "Name the {0} shape."],
        chinese: ["{0}的物体是什么形状？", "图中{0}的图形是什么？", "请说出{0}物体的形状。"])
    static let box = Phrases(
        english: ["Where is the {0}?", "Find the {0}.", "Give the box of the {0}."],
        chinese: ["{0}在哪里？", "请找出{0}。", "请框出{0}。"])
    static let describe = Phrases(
        english: ["List every object.", "Describe the picture.", "List all objects with their boxes."],
        chinese: ["列出所有物体。", "请描述这张图。", "请列出所有物体和位置。"])
    static let clock = Phrases(
        english: ["What hour does the clock show?", "What time is it?", "Which hour is it?"],
        chinese: ["时钟指向几点？", "现在几点？", "图中的钟是几点？"])
    static let leftOf = Phrases(
        english: ["Is the {0} to the left of the {1}?", "Is the {0} left of the {1}?"],
        chinese: ["{0}在{1}的左边吗？", "{0}是否在{1}左侧？"])
    static let rightOf = Phrases(
        english: ["Is the {0} to the right of the {1}?", "Is the {0} right of the {1}?"],
        chinese: ["{0}在{1}的右边吗？", "{0}是否在{1}右侧？"])
    static let above = Phrases(
        english: ["Is the {0} above the {1}?", "Is the {0} higher than the {1}?"],
        chinese: ["{0}在{1}的上面吗？", "{0}是否在{1}上方？"])
    static let below = Phrases(
        english: ["Is the {0} below the {1}?", "Is the {0} lower than the {1}?"],
        chinese: ["{0}在{1}的下面吗？", "{0}是否在{1}下方？"])
    static let furtherLeft = Phrases(
        english: ["Which is further left, the {0} or the {1}?"], chinese: ["{0}和{1}，哪个更靠左？"])
    static let furtherRight = Phrases(
        english: ["Which is further right, the {0} or the {1}?"], chinese: ["{0}和{1}，哪个更靠右？"])
    static let furtherUp = Phrases(
        english: ["Which is higher up, the {0} or the {1}?"], chinese: ["{0}和{1}，哪个更靠上？"])
    static let furtherDown = Phrases(
        english: ["Which is lower down, the {0} or the {1}?"], chinese: ["{0}和{1}，哪个更靠下？"])
    static let leftmost = Phrases(
        english: ["Which object is the leftmost?", "What is furthest to the left?"],
        chinese: ["最左边的是什么？", "哪个物体在最左边？"])
    static let rightmost = Phrases(
        english: ["Which object is the rightmost?", "What is furthest to the right?"],
        chinese: ["最右边的是什么？", "哪个物体在最右边？"])
    static let topmost = Phrases(
        english: ["Which object is the topmost?", "What is at the very top?"],
        chinese: ["最上面的是什么？", "哪个物体在最上面？"])
    static let bottommost = Phrases(
        english: ["Which object is the lowest?", "What is at the very bottom?"],
        chinese: ["最下面的是什么？", "哪个物体在最下面？"])

    // MARK: - text

    static let read = Phrases(
        english: ["Read the text.", "What does the text say?", "What is written in the picture?"],
        chinese: ["读出文字。", "图中写的是什么？", "请读出图中的文字。"])
    static let readAll = Phrases(
        english: ["Read all the text, line by line.", "Read every line from top to bottom."],
        chinese: ["请逐行读出所有文字。", "请从上到下读出每一行。"])
    static let readLine = Phrases(
        english: ["Read line {0}.", "What does line {0} say?"], chinese: ["读出第{0}行。", "第{0}行写的是什么？"])
    static let readTop = Phrases(
        english: ["Read the top line.", "What does the first line say?"], chinese: ["读出最上面一行。", "第一行写的是什么？"])
    static let readBottom = Phrases(
        english: ["Read the bottom line.", "What does the last line say?"],
        chinese: ["读出最下面一行。", "最后一行写的是什么？"])
    static let readColor = Phrases(
        english: ["What does the {0} text say?", "Read the {0} text."], chinese: ["{0}的文字写的是什么？", "读出{0}的文字。"])
    static let textColor = Phrases(
        english: ["What color is the text \"{0}\"?"], chinese: ["文字“{0}”是什么颜色？"])
    static let textBox = Phrases(
        english: ["Where is the text \"{0}\"?", "Find the text \"{0}\"."], chinese: ["文字“{0}”在哪里？", "请找出文字“{0}”。"])
    static let textLines = Phrases(
        english: ["How many lines of text are there?"], chinese: ["图中有几行文字？"])
    static let textList = Phrases(
        english: ["List every line of text with its box."], chinese: ["请列出每行文字和位置。"])

    // MARK: - charts

    static let value = Phrases(
        english: ["What is the value of {0}?", "How high is the bar {0}?", "Read the value of {0}."],
        chinese: ["{0}的值是多少？", "{0}的数值是多少？", "请读出{0}的值。"])
    static let highest = Phrases(
        english: ["Which bar is the highest?", "Which label has the largest value?"],
        chinese: ["哪个柱子最高？", "哪一项的值最大？"])
    static let lowest = Phrases(
        english: ["Which bar is the lowest?", "Which label has the smallest value?"],
        chinese: ["哪个柱子最低？", "哪一项的值最小？"])
    static let higher = Phrases(
        english: ["Is {0} higher than {1}?", "Is the value of {0} larger than that of {1}?"],
        chinese: ["{0}比{1}高吗？", "{0}的值比{1}大吗？"])
    static let bars = Phrases(
        english: ["How many bars are there?", "Count the bars."], chinese: ["图中有几个柱子？", "有多少根柱子？"])
    static let chartList = Phrases(
        english: ["List all values.", "Read the whole chart."], chinese: ["列出所有数值。", "请读出整张图表。"])

    static func yesNo(_ yes: Bool, _ language: SyntheticLanguage) -> String {
        switch language {
        case .english: yes ? "yes" : "no"
        case .chinese: yes ? "是" : "否"
        }
    }
}
