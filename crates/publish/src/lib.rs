//! From a baked image to an AMI: upload, register, copy, validate, promote, retire.
