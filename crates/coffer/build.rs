//! What the linker is told of the release beside what Cargo tells it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CARGO_PROFILE_RELEASE_STRIP");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("PROFILE", "release") {
        return;
    }
    // Cargo loses the profile's `strip` where the package has an `opt-level` of its own, as this one has.
    // To profile the release: CARGO_PROFILE_RELEASE_STRIP=none.
    if !is("CARGO_PROFILE_RELEASE_STRIP", "none") {
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
    }
    // Functions whose code is the same become one. Rust links with its own copy of lld on this target alone; other
    // linkers do not know the option.
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
