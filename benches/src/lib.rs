//! Measurements that need something beside us: a program each in `src/bin`, which starts what it measures as processes of
//! their own and says how to run it.
