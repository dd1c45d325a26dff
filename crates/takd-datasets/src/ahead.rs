//! Items made on a thread of their own, ahead of their use.

use std::{iter, panic, sync::mpsc, thread::Scope};

/// How many items may be ready and waiting. One would do if all took equally long to make and to use.
const MAX_READY: usize = 2;

/// The same items, made by a thread of `scope` ahead of being asked for.
///
/// If making an item panics, the panic comes when that item is asked for. The thread ends after the last item; if the iterator is
/// dropped earlier, it ends after the item that it is making.
pub(crate) fn ahead<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    items: I,
) -> impl Iterator<Item = I::Item> + use<'scope, I>
where
    I: Iterator<Item: Send> + Send + 'scope,
{
    let (sender, receiver) = mpsc::sync_channel(MAX_READY);
    let mut maker = Some(scope.spawn(move || {
        for item in items {
            if sender.send(item).is_err() {
                break;
            }
        }
    }));
    // The channel gives all that was sent before it reports that the sender is gone.
    iter::from_fn(move || match receiver.recv() {
        Ok(item) => Some(item),
        Err(mpsc::RecvError) => match maker.take()?.join() {
            Ok(()) => None,
            Err(reason) => panic::resume_unwind(reason),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    #[test]
    fn items_come_in_order_and_end() {
        thread::scope(|scope| {
            let mut items = ahead(scope, 0..100);
            assert!(items.by_ref().eq(0..100));
            assert_eq!((items.next(), items.next()), (None, None));
        });
    }

    #[test]
    fn no_more_are_made_than_may_lie_ready() {
        let made = AtomicUsize::new(0);
        thread::scope(|scope| {
            let mut items = ahead(scope, (0..).inspect(|_| _ = made.fetch_add(1, Ordering::SeqCst)));
            assert_eq!(items.next(), Some(0));
            // One is taken, the others are ready, the thread holds one more; that no more are made can only be waited for.
            let wanted = 1 + MAX_READY + 1;
            while made.load(Ordering::SeqCst) < wanted {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            assert_eq!(made.load(Ordering::SeqCst), wanted);
        });
        // The scope has ended, and with it the thread, though its items would never have.
    }

    #[test]
    fn dropping_early_ends_the_thread_within_an_item() {
        let made = AtomicUsize::new(0);
        for taken in 0..5 {
            made.store(0, Ordering::SeqCst);
            thread::scope(|scope| {
                let items = ahead(scope, (0..).inspect(|_| _ = made.fetch_add(1, Ordering::SeqCst)));
                assert!(items.take(taken).eq(0..taken));
            });
            assert!(made.load(Ordering::SeqCst) <= taken + MAX_READY + 1);
        }
    }

    #[test]
    fn panic_comes_in_its_place_with_its_message() {
        thread::scope(|scope| {
            let mut items = ahead(scope, (0..9).inspect(|&item| assert!(item < 3, "cannot make {item}")));
            assert!(items.by_ref().take(3).eq(0..3));
            let reason = catch_unwind(AssertUnwindSafe(|| items.next())).unwrap_err();
            assert_eq!(reason.downcast_ref::<String>().unwrap(), "cannot make 3");
            assert_eq!(items.next(), None);
        });
    }
}
