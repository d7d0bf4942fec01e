//! What an embedding column, a space, a decoder and a translator are in Arrow.
