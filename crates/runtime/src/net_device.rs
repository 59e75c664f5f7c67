//! Network devices of the host for a container: each is moved into its network namespace, with its addresses, and set up
//! there. Runtime specification, config-linux.md "Network Devices".
//!
//! They are not moved back: with the namespace, hardware goes to the host's first one and what is virtual is gone.

use std::os::fd::BorrowedFd;

use error::{Errno, Error, Kernel, Refused, Result};
use netlink::Socket;
use netlink::route::{self, Address};
use oci::Linux;

/// A device of the host that a container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name on the host.
    pub host: String,
    /// Its name in the container. `%d` in it stands for the first number that makes a name that is free.
    pub name: String,
}

/// The devices that a configuration asks for.
pub(crate) fn plan(linux: Option<&Linux>) -> Vec<Device> {
    let devices = linux.iter().flat_map(|linux| &linux.net_devices);
    let device = |(host, device): (&String, &oci::NetDevice)| {
        let name = device.name.clone().filter(|name| !name.is_empty());
        Device { host: host.clone(), name: name.unwrap_or_else(|| host.clone()) }
    };
    devices.map(device).collect()
}

/// A device that can be moved.
struct Found<'d> {
    device: &'d Device,
    name: String,
    link: u32,
    addresses: Vec<Address>,
}

/// Moves devices from the namespace of the first socket to `namespace`, which is that of the second. As long as one of them
/// cannot be had for a reason that can be seen, none is moved.
///
/// # Errors
/// Refused for a device that is not there, for one that belongs to its namespace, and for a name that is taken; a kernel
/// error.
pub(crate) fn give(devices: &[Device], sockets: [&Socket; 2], namespace: BorrowedFd<'_>) -> Result<()> {
    let mut found = Vec::with_capacity(devices.len());
    for device in devices {
        let (link, addresses) = look(&device.host, sockets[0])?;
        let given: Vec<&str> = found.iter().map(|found: &Found<'_>| found.name.as_str()).collect();
        let name = free_name(device, sockets[1], &given)?;
        found.push(Found { device, name, link, addresses });
    }
    found.iter().try_for_each(|found| found.hand_over(sockets, namespace))
}

/// The name of a device in the container, where no other has it.
fn free_name(device: &Device, there: &Socket, given: &[&str]) -> Result<String> {
    /// More devices than a namespace can have numbers for names: the kernel looks as far.
    const NUMBERS: u32 = 32_768;
    let is_free = |name: &str| match route::link(there, name) {
        Ok(_) => Ok(false),
        Err(Errno::NODEV) => Ok(!given.contains(&name)),
        Err(errno) => Err(Error::from(Kernel::new(format!("look for a device {name} in the container"), errno))),
    };
    if let Some((before, behind)) = device.name.split_once("%d") {
        for number in 0..NUMBERS {
            let name = format!("{before}{number}{behind}");
            if name.len() <= route::LONGEST_NAME && is_free(&name)? {
                return Ok(name);
            }
        }
    } else if is_free(&device.name)? {
        return Ok(device.name.clone());
    }
    let taken = Refused::new(field(device), &device.name, "is taken: a device of the container has this name");
    Err(taken.hint("choose another name, or one with %d for a number that is free").into())
}

fn field(device: &Device) -> String {
    format!("linux.netDevices.{}.name", device.host)
}

/// Looks at a device while it is as it was: one that is set down loses its addresses of IPv6.
fn look(host: &str, here: &Socket) -> Result<(u32, Vec<Address>)> {
    let link = route::link(here, host).map_err(|errno| match errno {
        Errno::NODEV => {
            let refused = Refused::new(format!("linux.netDevices.{host}"), "", "does not exist on this host");
            Error::from(refused.hint("ip link shows the devices of this network namespace"))
        }
        errno => Kernel::new(format!("look for the network device {host}"), errno).into(),
    })?;
    let addresses = route::addresses(here, link);
    let addresses = addresses.map_err(|errno| Kernel::new(format!("read the addresses of {host}"), errno))?;
    Ok((link, addresses))
}

impl Found<'_> {
    fn hand_over(&self, [here, there]: [&Socket; 2], namespace: BorrowedFd<'_>) -> Result<()> {
        let Self { device: Device { host, .. }, name, .. } = self;
        let kernel = |what: String| move |errno| Error::from(Kernel::new(what, errno));
        route::move_link(here, self.link, namespace, name).map_err(|errno| {
            let kernel = Kernel::new(format!("move the network device {host} into the container"), errno);
            match errno {
                Errno::INVAL => {
                    kernel.hint(format!("the kernel never moves {host} out of its network namespace")).into()
                }
                Errno::PERM => kernel.hint("it needs CAP_NET_ADMIN where the device is").into(),
                _ => Error::from(kernel),
            }
        })?;
        let link = route::link(there, name).map_err(kernel(format!("find {name} in the container")))?;
        for address in &self.addresses {
            let added = route::add_address(there, (link, name), address);
            added.map_err(kernel(format!("give {name} in the container the address that {host} had")))?;
        }
        route::set_up(there, link).map_err(kernel(format!("set {name} up in the container")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_name_unless_it_gets_another() {
        let linux = r#"{"netDevices":{"eth0":{"name":"net%d"},"eth1":{},"eth2":{"name":""}}}"#;
        let linux: Linux = oci::document::parse("linux", linux.as_bytes()).unwrap();
        let names: Vec<_> = plan(Some(&linux)).into_iter().map(|device| (device.host, device.name)).collect();
        let expected = [("eth0", "net%d"), ("eth1", "eth1"), ("eth2", "eth2")];
        assert_eq!(names, expected.map(|(host, name)| (host.to_owned(), name.to_owned())));
        assert_eq!(plan(None), []);
    }
}
