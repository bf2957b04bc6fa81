//! What ranks exchange, on a thread of its own beside the arithmetic. Sums are of numbers as they lie here,
//! padding and all, so ranks have to lay them out alike.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use vgg_tensor::ranks::{Peers, Room, ShardSums, Shards, gather, gather_rows, sum};
use vgg_tensor::{Bound, Command, Content, Error, Executable, Result, Shape, ShardSum};

use crate::buffer::Buffer;
use crate::format::Format;
use crate::precision::in_format;
use crate::threads::Threads;
use crate::{Isa, Precision, numbers};

/// What a rank exchanges with others.
pub(crate) struct Exchange {
    peers: Arc<dyn Peers>,
    /// As numbers lie.
    isa: Isa,
    precision: Precision,
    /// Kept from step to step.
    room: Mutex<Room<f32>>,
}

impl Exchange {
    pub(crate) fn with(peers: Arc<dyn Peers>, isa: Isa, precision: Precision) -> Self {
        Self { peers, isa, precision, room: Mutex::default() }
    }

    /// Carries out a program, all but the exchanges by `order`. These begin in their order, so that all ranks
    /// make the same calls in the same order, and go on beside the commands that follow: one that touches
    /// what an exchange touches waits for it, and the end for all.
    pub(crate) fn run(
        &self,
        executable: &Executable<Buffer>,
        threads: &Threads,
        mut order: impl FnMut(Bound<'_, Buffer>) -> Result<()> + Send,
    ) -> Result<()> {
        thread::scope(|scope| {
            let (begin, exchanges) = channel();
            let (done, ended) = channel();
            let serve = move || self.serve(executable, &exchanges, &done);
            thread::Builder::new().name("exchange".into()).spawn_scoped(scope, serve).map_err(
                |error| Error::Unavailable {
                    what: "a thread for what ranks exchange".into(),
                    hint: format!("{error}; a limit on processes or memory may be reached"),
                },
            )?;
            let mut under_way = UnderWay { exchanges: Vec::new(), begin, ended };
            let mut commands = || {
                for (at, command) in executable.program().commands().enumerate() {
                    under_way.finish(|exchange| !executable.are_apart(exchange, at))?;
                    match command.exchanges() {
                        true => under_way.begin(at),
                        false => executable.run_one(at, &mut order)?,
                    }
                }
                Ok(())
            };
            // Threads that stayed awake while this one waits for other ranks would take their cores.
            match is_waited_for(executable) {
                true => commands(),
                false => threads.run_awake(commands),
            }?;
            under_way.finish(|_| true)
        })
    }

    /// Makes the exchanges that are begun, until there are no more or one fails.
    fn serve(
        &self,
        executable: &Executable<Buffer>,
        exchanges: &Receiver<usize>,
        done: &Sender<Result<()>>,
    ) {
        for at in exchanges {
            let result = executable.run_one(at, |command| self.carry_out(command));
            let failed = result.is_err();
            // Nobody listens once a command has failed.
            if done.send(result).is_err() || failed {
                return;
            }
        }
    }

    fn carry_out(&self, command: Bound<'_, Buffer>) -> Result<()> {
        match command {
            Command::GatherShards { shards, present, own, others } => {
                self.gather_shards(shards, present, &own, others)
            }
            Command::GatherRows { shards, batch, maps } => self.gather_rows(shards, batch, maps),
            Command::SumShards { shards, present, sums } => self.sum_shards(shards, present, sums),
            _ => unreachable!("what is carried out here waits for other ranks"),
        }
    }

    /// See [`vgg_tensor::Command::GatherShards`].
    fn gather_shards(
        &self,
        shards: Shards,
        present: usize,
        own: &[(Content, &Buffer)],
        others: Vec<(Content, &mut Buffer)>,
    ) -> Result<()> {
        let own: Vec<_> = own.iter().map(|(content, x)| x.f32(content.len())).collect();
        let others = others.into_iter().map(|(content, y)| y.f32_mut(content.len()));
        gather(&*self.peers, shards, present, &own, &mut others.collect::<Vec<_>>())
    }

    /// See [`vgg_tensor::Command::GatherRows`].
    fn gather_rows(
        &self,
        shards: Shards,
        batch: usize,
        maps: Vec<(Shape, &mut Buffer)>,
    ) -> Result<()> {
        let Some(n) = maps.first().map(|(shape, _)| shape.n) else { return Ok(()) };
        let bytes = in_format!(self.precision, F => size_of::<<F as Format>::Number>());
        let tables = maps.into_iter().map(|(shape, y)| y.bytes_mut(bytes * shape.len()));
        gather_rows(&*self.peers, shards, batch, n, &mut tables.collect::<Vec<_>>())
    }

    /// See [`vgg_tensor::Command::SumShards`].
    fn sum_shards(
        &self,
        shards: Shards,
        present: usize,
        sums: Vec<ShardSum<&Buffer, &mut Buffer>>,
    ) -> Result<()> {
        let numbers = sums.into_iter().map(|ShardSum { content, first, others }| {
            let len = numbers(self.isa, self.precision, content);
            let others = others.into_iter().map(|x| x.f32(len)).collect();
            ShardSums { first: first.f32_mut(len), others }
        });
        let room = &mut *self.room.lock().expect("no holder of this lock panics");
        sum(&*self.peers, shards, present, &mut numbers.collect::<Vec<_>>(), room)
    }
}

/// Exchanges that have begun and were not waited for, in their order.
struct UnderWay {
    exchanges: Vec<usize>,
    begin: Sender<usize>,
    ended: Receiver<Result<()>>,
}

impl UnderWay {
    /// Lets the thread make an exchange after those before it.
    fn begin(&mut self, at: usize) {
        // If it has ended, whoever waits will see why.
        let _ = self.begin.send(at);
        self.exchanges.push(at);
    }

    /// Waits for the last one that is `needed`, and so for all before it.
    fn finish(&mut self, needed: impl Fn(usize) -> bool) -> Result<()> {
        let count = self.exchanges.iter().rposition(|at| needed(*at)).map_or(0, |last| last + 1);
        self.exchanges.drain(..count).try_for_each(|_| match self.ended.recv() {
            Ok(result) => result,
            Err(_) => {
                let reason = "its message is above".into();
                Err(Error::Worker { task: "what ranks exchange", reason })
            }
        })
    }
}

/// Whether a command waits for an exchange before it.
fn is_waited_for(executable: &Executable<Buffer>) -> bool {
    let commands = executable.program().commands().enumerate();
    let mut exchanges = commands.filter(|(_, command)| command.exchanges()).map(|(at, _)| at);
    let count = executable.program().instructions().len();
    exchanges.any(|exchange| (exchange + 1..count).any(|at| !executable.are_apart(exchange, at)))
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use vgg_tensor::{
        Backend as _, BufferId, BufferSpec, In, Instruction, Out, Pass, Program, Role, Scalars,
        Shared,
    };

    use super::*;
    use crate::{Config, Cpu};

    /// The first of two ranks, of which the other one answers by what this one has come to.
    struct Answers<F> {
        calls: AtomicUsize,
        answer: F,
    }

    impl<F: Fn(usize) -> Result<()> + Send + Sync> Peers for Answers<F> {
        fn rank(&self) -> usize {
            0
        }

        fn ranks(&self) -> usize {
            2
        }

        fn describe(&self) -> String {
            String::new()
        }

        fn exchange(&self, _: &[Vec<&[u8]>], receive: &mut [Vec<&mut [u8]>]) -> Result<()> {
            receive.iter_mut().flatten().for_each(|piece| piece.fill(0));
            (self.answer)(self.calls.fetch_add(1, Ordering::SeqCst))
        }

        fn waits(&self, _: std::time::Duration) -> Result<()> {
            Ok(())
        }

        fn finish(&self) -> Result<()> {
            Ok(())
        }

        fn leave(&self, _: &str) {}
    }

    const VECTOR: Content = Content::Vector(1);

    /// Runs commands on buffers of one number, which are 1, 2, 3, …
    fn run(
        commands: &[Command],
        buffers: &[Shared<Buffer>],
        answer: impl Fn(usize) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        for (i, buffer) in buffers.iter().enumerate() {
            buffer.write().unwrap().f32_mut(1)[0] = 1.0 + i as f32;
        }
        let config = Config { threads: Some(2), ..Config::default() };
        let peers = Arc::new(Answers { calls: AtomicUsize::new(0), answer });
        let mut cpu = Cpu::new(config)?.with_peers(peers);
        let instruction = |command: &Command| Instruction {
            pass: Pass::Update,
            layer: String::new(),
            command: command.clone(),
        };
        let specs = vec![BufferSpec { content: VECTOR, role: Role::State }; buffers.len()];
        let program = Program::new(specs, commands.iter().map(instruction).collect())?;
        let mut executable = cpu.compile(&program, buffers.to_vec())?;
        cpu.run(&mut executable, Scalars::default())
    }

    fn buffers(count: usize) -> Vec<Shared<Buffer>> {
        (0..count).map(|_| Arc::new(RwLock::new(Buffer::zeroed(1).unwrap()))).collect()
    }

    fn gather(own: usize, other: usize) -> Command {
        Command::GatherShards {
            shards: Shards::new(2, 0, 2).unwrap(),
            present: 2,
            own: vec![(VECTOR, In(BufferId(own)))],
            others: vec![(VECTOR, Out(BufferId(other)))],
        }
    }

    fn double(x: usize, y: usize) -> Command {
        let (x, y) = (In(BufferId(x)), Out(BufferId(y)));
        Command::Scale { content: VECTOR, alpha: 2.0, x, y }
    }

    /// The other rank answers once the command that follows the exchange is done, and then takes its time.
    #[test]
    fn commands_go_on_beside_an_exchange_until_they_need_it() {
        let buffers = buffers(5);
        let next = buffers[3].clone();
        let answer = move |_| {
            let begun = Instant::now();
            while next.try_read().is_ok_and(|next| next.f32(1)[0] != 6.0) {
                assert!(begun.elapsed() < Duration::from_secs(60), "nothing is done beside it");
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            Ok(())
        };
        run(&[gather(0, 1), double(2, 3), double(1, 4)], &buffers, answer).unwrap();
        let came = buffers.iter().map(|buffer| buffer.read().unwrap().f32(1)[0]);
        assert_eq!(came.collect::<Vec<_>>(), [1.0, 0.0, 3.0, 6.0, 0.0]);
    }

    /// After a failure nothing is exchanged: others might take it for what did not come.
    #[test]
    fn an_exchange_that_fails_ends_the_program() {
        let buffers = buffers(4);
        let answer = |call| match call {
            0 => Err(Error::Rank { rank: 1, reason: "no space left on device".into() }),
            _ => panic!("another one was begun"),
        };
        let error = run(&[gather(0, 1), gather(2, 3)], &buffers, answer).unwrap_err();
        assert_eq!(error.to_string(), "rank 1: no space left on device");
    }
}
