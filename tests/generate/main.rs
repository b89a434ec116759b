//! Tests of the search for texts: against naive searches that follow the references' rules word by word, against
//! distributions of the reference, and each request against itself in other company.

mod alone;
mod errors;
mod golden;
mod naive;
mod same;
mod sampling;
mod toy;
