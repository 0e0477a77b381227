//! Tests of the order and the timing of deliveries.
