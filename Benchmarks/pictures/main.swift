import Foundation
import Media

// The Swift side of run.sh: decodes and resizes a picture again and again on one thread, and prints the seconds of each
// run and the sum of the pixels that came out.

let arguments = CommandLine.arguments
guard arguments.count >= 6, let width = Int(arguments[3]), let height = Int(arguments[4]), let runs = Int(arguments[5])
else {
    print("usage: pictures-benchmark decode|resize|both|scaled FILE WIDTH HEIGHT RUNS")
    exit(2)
}
let bytes = [UInt8](try Data(contentsOf: URL(filePath: arguments[2])))
let whole = try Image.decode(bytes, policy: .asPillow)

func once() throws -> Image {
    switch arguments[1] {
    case "decode": try Image.decode(bytes, policy: .asPillow)
    case "resize": try whole.resized(width: width, height: height, filter: .bicubic)
    case "scaled":
        try Image.decode(bytes, policy: .asPillow, scale: .atLeast(width: width, height: height))
            .resized(width: width, height: height, filter: .bicubic)
    default: try Image.decode(bytes, policy: .asPillow).resized(width: width, height: height, filter: .bicubic)
    }
}

var seconds: [String] = []
var sum = 0
for _ in 0..<runs {
    let start = ContinuousClock.now
    let image = try once()
    let spent = (ContinuousClock.now - start).components
    seconds.append(String(Double(spent.seconds) + Double(spent.attoseconds) / 1e18))
    sum = image.pixels.reduce(0) { $0 + Int($1) }
}
print("{\"runs\": [\(seconds.joined(separator: ", "))], \"sum\": \(sum)}")
