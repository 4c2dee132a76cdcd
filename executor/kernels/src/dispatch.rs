//! One source, two instruction sets.

/// Defines a function whose body is compiled for the target's baseline and for AVX2, and which picks at run time.
///
/// The detection is a cached load of one atomic: a nanosecond per call, against thousands of rows per call.
macro_rules! dispatched {
    ($(#[$meta:meta])* pub fn $name:ident<$t:ident: $bound:path>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        pub fn $name<$t: $bound>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain<$t: $bound>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide<$t: $bound>($($arg: $ty),*) $(-> $ret)? {
                    plain($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: `wide` is safe code that needs AVX2, which the line above found on this machine.
                    return unsafe { wide($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}
