/// Upper and lower case as Python has it; every scalar of a result has the origin of the one it was made from.
extension Jinja.TracedString {
    func all(_ test: (Unicode.Scalar) -> Bool) -> Bool { !isEmpty && scalars.allSatisfy(test) }

    func uppercased() -> Chars { mapScalars { _, scalar in scalar.properties.uppercaseMapping } }

    func lowercased() -> Chars { mapScalars { lowercase($1, at: $0) } }

    /// Lower case, with the sigma that ends words.
    private func lowercase(_ scalar: Unicode.Scalar, at index: Int) -> String {
        guard scalar == "\u{3A3}" else { return scalar.properties.lowercaseMapping }
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
        let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
        let endsWord = before?.properties.isCased ?? false && !(after?.properties.isCased ?? false)
        return endsWord ? "\u{3C2}" : "\u{3C3}"
    }

    /// `str.casefold`, for all but rare letters.
    func caseFolded() -> Chars {
        mapScalars { _, scalar in
            if scalar == "\u{3C2}" { return "\u{3C3}" }
            let upper = scalar.properties.uppercaseMapping
            return upper.unicodeScalars.count > 1 ? upper.lowercased() : scalar.properties.lowercaseMapping
        }
    }

    /// `str.capitalize`.
    func capitalized() -> Chars {
        mapScalars { index, scalar in
            index == 0 ? scalar.properties.titlecaseMapping : lowercase(scalar, at: index)
        }
    }

    /// `str.title`: every run of letters begins with a capital.
    func titlecased() -> Chars {
        var isInside = false
        return mapScalars { index, scalar in
            defer { isInside = scalar.properties.isCased }
            return isInside ? lowercase(scalar, at: index) : scalar.properties.titlecaseMapping
        }
    }

    /// The filter `title`, which splits words at fewer characters.
    func titleFiltered() -> Chars {
        var isInside = false
        return mapScalars { index, scalar in
            if Jinja.isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar) {
                isInside = false
                return nil
            }
            defer { isInside = true }
            return isInside ? lowercase(scalar, at: index) : scalar.properties.uppercaseMapping
        }
    }

    var isUpper: Bool { isCase { $0.isUppercase } }
    var isLower: Bool { isCase { $0.isLowercase } }

    private func isCase(_ wanted: (Unicode.Scalar.Properties) -> Bool) -> Bool {
        var result = false
        for scalar in scalars {
            let properties = scalar.properties
            if wanted(properties) {
                result = true
            } else if properties.isUppercase || properties.isLowercase || properties.generalCategory == .titlecaseLetter
            {
                return false
            }
        }
        return result
    }

    var isTitle: Bool {
        var isInside = false
        var result = false
        for scalar in scalars {
            let properties = scalar.properties
            if properties.isUppercase || properties.generalCategory == .titlecaseLetter {
                if isInside { return false }
                isInside = true
                result = true
            } else if properties.isLowercase {
                if !isInside { return false }
                result = true
            } else {
                isInside = false
            }
        }
        return result
    }

    /// `str.center`: an odd blank goes left where the width is odd.
    func centered(_ width: Int, _ fill: Chars) -> Chars {
        if width <= count { return self }
        let missing = width - count
        let left = missing / 2 + (missing & width & 1)
        var result = Chars()
        for _ in 0..<left { result.append(fill) }
        result.append(self)
        for _ in 0..<missing - left { result.append(fill) }
        return result
    }
}

extension Unicode.Scalar.Properties {
    /// `str.isalpha` for one character.
    var isLetter: Bool {
        switch generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    /// `str.isdigit` for one character.
    var isDigit: Bool { numericType == .decimal || numericType == .digit }
}
