//! Codecs of CAN power module families.
