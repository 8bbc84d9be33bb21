// The library's own header is C++; CSentencePiece wraps it. This module only links the library.
