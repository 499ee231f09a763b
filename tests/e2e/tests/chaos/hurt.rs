//! What can be done to those who take part, and undone.

use kheeper_e2e::line::Mode;
use rand::Rng as _;
use rand::rngs::StdRng;
use rustix::process::Signal;

use crate::stage::Stage;

/// One kind of harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hurt {
    KillPostgres,
    KillProxy,
    KillServer,
    StopServer,
    FreezePostgres,
    FreezeProxy,
    FreezeServer,
    /// The line carries nothing.
    Partition,
    /// Whoever connects to the server is reset.
    Refuse,
    /// All connections are reset.
    Cut,
    /// All connections are reset in the middle of something.
    CutAfter(u32),
    /// The store's disk has so many bytes left.
    FillDisk(u64),
}

impl Hurt {
    /// One of them at random.
    pub(crate) fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..13) {
            0 => Self::KillPostgres,
            1 => Self::KillProxy,
            2 => Self::KillServer,
            3 => Self::StopServer,
            4 => Self::FreezePostgres,
            5 => Self::FreezeProxy,
            6 => Self::FreezeServer,
            7 => Self::Partition,
            8 => Self::Refuse,
            9 => Self::Cut,
            10 => Self::CutAfter(random.random_range(1..2_000_000)),
            11 => Self::FillDisk(0),
            _ => Self::FillDisk(random.random_range(1..100_000_000)),
        }
    }

    /// Does it.
    pub(crate) fn inflict(self, stage: &mut Stage) {
        match self {
            Self::KillPostgres => stage.cluster.kill9(),
            Self::KillProxy => stage.proxy.running().kill9(),
            Self::KillServer => stage.world.server.kill9(),
            Self::StopServer => {
                stage.world.server.terminate();
            }
            Self::FreezePostgres => stage.cluster.signal_all(Signal::STOP),
            Self::FreezeProxy => stage.proxy.running().signal(Signal::STOP),
            Self::FreezeServer => stage.world.server.running().signal(Signal::STOP),
            Self::Partition => stage.line.set(Mode::Silent),
            Self::Refuse => stage.line.set(Mode::Refusing),
            Self::Cut => stage.line.cut(),
            Self::CutAfter(bytes) => stage.line.cut_after(bytes),
            Self::FillDisk(bytes_left) => stage.disk.fill(bytes_left),
        }
    }

    /// Undoes it. Whoever was killed is started again, as systemd would; nothing else is ever done to help.
    pub(crate) fn heal(self, stage: &mut Stage) {
        match self {
            Self::KillPostgres => stage.cluster.restart(),
            Self::KillProxy => stage.proxy.restart(),
            Self::KillServer | Self::StopServer => stage.world.server.restart(),
            Self::FreezePostgres => stage.cluster.signal_all(Signal::CONT),
            Self::FreezeProxy => stage.proxy.running().signal(Signal::CONT),
            Self::FreezeServer => stage.world.server.running().signal(Signal::CONT),
            Self::Partition | Self::Refuse => stage.line.set(Mode::Open),
            Self::Cut | Self::CutAfter(_) => {}
            Self::FillDisk(_) => stage.disk.free(),
        }
    }

    /// Whom it concerns: two kinds of harm at once must not be to the same.
    pub(crate) fn whom(self) -> u8 {
        match self {
            Self::KillPostgres | Self::FreezePostgres => 0,
            Self::KillProxy | Self::FreezeProxy => 1,
            Self::KillServer | Self::StopServer | Self::FreezeServer => 2,
            Self::Partition | Self::Refuse | Self::Cut | Self::CutAfter(_) => 3,
            Self::FillDisk(_) => 4,
        }
    }
}
