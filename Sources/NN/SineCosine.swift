internal import Foundation

/// Two-dimensional sines and cosines: the first half of the vector tells the column, the second the row; each half holds
/// the sines of all frequencies and then their cosines (MAE's `get_2d_sincos_pos_embed`; Qwen-VL's resampler).
public func sineCosine(column: Float, row: Float, size: Int) -> [Float] {
    precondition(size.isMultiple(of: 4), "sines and cosines of two coordinates need a width of a multiple of 4")
    let frequencies = inverseFrequencies(base: 10000, size: size / 2)
    return [column, row].flatMap { coordinate in
        frequencies.map { sin(coordinate * $0) } + frequencies.map { cos(coordinate * $0) }
    }
}
