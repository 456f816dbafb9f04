//! The local room: the xcloud host on this machine.
